//! Numbers as octets: each as 7-bit groups, the lowest first (LEB128); numbers of accounts as runs of neighbours.

use std::ops::Range;

use super::Damage;

pub(super) fn put(octets: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        octets.push(number as u8 | 0x80);
        number >>= 7;
    }
    octets.push(number as u8);
}

pub(super) fn take(octets: &mut &[u8]) -> Result<u64, Damage> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (octet, rest) = octets.split_first().ok_or(Damage::Octets("a number in it does not end"))?;
        *octets = rest;
        number |= u64::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Damage::Octets("a number in it is too large"))
}

pub(super) fn take_small(octets: &mut &[u8]) -> Result<u32, Damage> {
    u32::try_from(take(octets)?).map_err(|_| Damage::Octets("a number in it is too large"))
}

/// How many runs, then of each how many numbers are between it and the one before, and how many it has.
pub(super) fn put_accounts(octets: &mut Vec<u8>, accounts: impl Iterator<Item = u32>) {
    let mut runs: Vec<Range<u32>> = Vec::new();
    for account in accounts {
        match runs.last_mut().filter(|run| run.end == account) {
            Some(run) => run.end += 1,
            None => runs.push(account..account + 1),
        }
    }
    put(octets, runs.len() as u64);
    let mut next = 0;
    for run in runs {
        put(octets, u64::from(run.start.saturating_sub(next)));
        put(octets, u64::from(run.end - run.start));
        next = run.end;
    }
}

pub(super) fn take_accounts(octets: &mut &[u8]) -> Result<Vec<Range<u32>>, Damage> {
    let too_large = || Damage::Octets("an account's number in it is too large");
    let mut runs = Vec::new();
    let mut next = 0_u32;
    for _ in 0..take(octets)? {
        let start = next.checked_add(take_small(octets)?).ok_or_else(too_large)?;
        next = start.checked_add(take_small(octets)?).ok_or_else(too_large)?;
        runs.push(start..next);
    }
    Ok(runs)
}
