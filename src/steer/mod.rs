//! The pure core: observations become verdicts, verdicts become decisions.

pub mod decision;
pub mod home;
pub mod judge;
pub mod observation;
pub mod overrides;
pub mod policy;
pub mod provider;
pub mod shares;
pub mod time;
pub mod transition;
