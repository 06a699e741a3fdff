//! Records that nobody sees: below a DNAME, below a cut, or at it.

use super::{Zone, shown};
use crate::zone::log::Log;
use crate::zone::record::Rtype;

impl Zone<'_> {
    /// Records that a cut or a DNAME above them hides.
    pub(super) fn occlusion(&self, log: &mut Log) {
        if !self.cuts && !self.dnames {
            return;
        }
        let nameservers = self.nameservers();
        for (number, range) in self.records().ranges().filter(|(number, _)| !self.records().is_hidden(*number)) {
            let name = self.records().name_of(number);
            let owner = name.as_wire();
            if let Some(dname) = self.dname_above(owner) {
                for at in range {
                    let message =
                        format!("{name} is below the DNAME record at {} (RFC 6672, section 2.4)", shown(dname));
                    log.error(self.place(at), message);
                }
                continue;
            }
            let below = self.above(owner).skip(1).find(|above| self.is_cut(above));
            let is_cut = number != 0 && self.is_cut(owner);
            if below.is_none() && !is_cut {
                continue;
            }
            let is_nameserver = nameservers.get(number as usize).copied().unwrap_or(false);
            for at in range {
                let rtype = self.records().rtype(at);
                let at_cut = matches!(rtype, Rtype::NS | Rtype::DS | Rtype::NSEC | Rtype::RRSIG);
                if matches!(rtype, Rtype::A | Rtype::AAAA) && is_nameserver {
                    continue;
                }
                if let Some(cut) = below {
                    let message = format!("{name} is below the delegation at {}: nobody sees this record", shown(cut));
                    log.warning(self.place(at), message);
                } else if !at_cut {
                    log.warning(self.place(at), format!("{name} is delegated: nobody sees its {rtype} record"));
                }
            }
        }
    }

    /// For each owner whether any NS record names it: its addresses are glue.
    fn nameservers(&self) -> Vec<bool> {
        let records = self.records();
        let mut all = vec![false; records.owner_count() as usize];
        for at in (0..records.len()).filter(|at| records.rtype(*at) == Rtype::NS) {
            let target = self.names.number(records.rdata(at));
            if let Some(named) = target.and_then(|number| all.get_mut(number as usize)) {
                *named = true;
            }
        }
        all
    }
}
