//! The octets of a message: records appended whole or not at all, names compressed (RFC 1035, section 4.1.4).

use super::{node, rdata};

/// Names that pointers may point at; later ones are written without being remembered.
const MAX_NAMES: usize = 64;
/// Labels of the question that are remembered, the rightmost ones.
const MAX_QUESTION_LABELS: usize = 32;
/// The first offset that no pointer reaches.
const POINTER_END: usize = 0x4000;
/// Whatever points from before this is pointed at behind any question as well: one is at most a name longer than another.
pub(super) const FAR: usize = POINTER_END - 256;
/// Where the name of the question begins.
pub(super) const QUESTION: usize = 12;

/// The message has no room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Appends to a message behind its question.
pub(super) struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
    limit: usize,
    /// Offsets of labels that begin a name, and how long those names are.
    names: [(u16, u8); MAX_NAMES],
    known: usize,
    /// Whether names are the same only in the same case.
    exactly: bool,
}

/// A state to come back to.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    at: usize,
    known: usize,
}

impl<'a> Writer<'a> {
    /// `out` holds a message whose question's name begins at [`QUESTION`] and whose question ends at `at`. Nothing is written at or behind `limit`.
    pub(super) fn new(out: &'a mut [u8], at: usize, limit: usize) -> Self {
        let limit = limit.min(out.len());
        let mut writer = Self { out, at, limit, names: [(0, 0); MAX_NAMES], known: 0, exactly: false };
        writer.know_question();
        writer
    }

    /// A writer whose names can be read back in the case they were written in: only what is the same octet for octet is pointed at.
    pub(super) fn compiling(out: &'a mut [u8], at: usize) -> Self {
        Self { exactly: true, ..Self::new(out, at, usize::MAX) }
    }

    /// Where the next octet goes.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { at: self.at, known: self.known }
    }

    pub(super) fn reset(&mut self, mark: Mark) {
        self.at = mark.at;
        self.known = mark.known;
    }

    /// Appends octets as they are.
    #[inline]
    pub(super) fn put(&mut self, octets: &[u8]) -> Result<(), Full> {
        let end = self.at + octets.len();
        if end > self.limit {
            return Err(Full);
        }
        self.out.get_mut(self.at..end).ok_or(Full)?.copy_from_slice(octets);
        self.at = end;
        Ok(())
    }

    /// Sets octets that were appended before.
    pub(super) fn patch(&mut self, at: usize, octets: &[u8]) {
        if let Some(place) = self.out.get_mut(at..at + octets.len()) {
            place.copy_from_slice(octets);
        }
    }

    /// Appends a whole RRset, or nothing. Returns how many records it has.
    pub(super) fn rrset(
        &mut self,
        owner: &[u8],
        rtype: u16,
        ttl: u32,
        rdatas: impl Iterator<Item = impl AsRef<[u8]>>,
    ) -> Result<u16, Full> {
        let mark = self.mark();
        let written = self.records(owner, rtype, ttl, rdatas);
        if written.is_err() {
            self.reset(mark);
        }
        written
    }

    fn records(
        &mut self,
        owner: &[u8],
        rtype: u16,
        ttl: u32,
        rdatas: impl Iterator<Item = impl AsRef<[u8]>>,
    ) -> Result<u16, Full> {
        let mut count = 0;
        let mut owner_at = POINTER_END;
        for rdata in rdatas {
            if owner_at < POINTER_END {
                self.pointer(owner_at)?;
            } else {
                owner_at = self.name(owner)?;
            }
            self.record_data(rtype, ttl, rdata.as_ref())?;
            count += 1;
        }
        Ok(count)
    }

    /// Appends a compiled RRset under any owner, whole or not at all. Returns how many records it has.
    pub(super) fn compiled(&mut self, owner: &[u8], set: node::Rrset<'_>, ttl: u32) -> Result<u16, Full> {
        let mark = self.mark();
        let written = self.compiled_records(owner, set, ttl);
        if written.is_err() {
            self.reset(mark);
        }
        written
    }

    fn compiled_records(&mut self, owner: &[u8], set: node::Rrset<'_>, ttl: u32) -> Result<u16, Full> {
        let mut count = 0;
        let mut owner_at = POINTER_END;
        for rdata in set.rdatas() {
            if owner_at < POINTER_END {
                self.pointer(owner_at)?;
            } else {
                owner_at = self.name(owner)?;
            }
            let from = self.fixed(set.rtype(), ttl)?;
            self.compiled_data(rdata, set.rtype())?;
            self.close(from)?;
            count += 1;
        }
        Ok(count)
    }

    fn compiled_data(&mut self, rdata: rdata::Rdata<'_>, rtype: u16) -> Result<(), Full> {
        let Some((before, names)) = rdata::names(rtype) else { return self.put(rdata.octets) };
        let mut at = before.min(rdata.octets.len());
        self.put(rdata.octets.get(..at).unwrap_or_default())?;
        for _ in 0..names {
            // Data of another make (RFC 3597) is copied as it is.
            let Some((name, end)) = rdata.name(at) else { break };
            self.name(name.as_wire())?;
            at = end;
        }
        self.put(rdata.octets.get(at..).unwrap_or_default())
    }

    /// Appends all of a record behind its owner.
    pub(super) fn record_data(&mut self, rtype: u16, ttl: u32, rdata: &[u8]) -> Result<(), Full> {
        let from = self.fixed(rtype, ttl)?;
        match rdata::names(rtype) {
            Some((before, names)) => self.rdata_with_names(rdata, before, names)?,
            None => self.put(rdata)?,
        }
        self.close(from)
    }

    /// Type, class, TTL, and room for the length. Returns where the data begins.
    fn fixed(&mut self, rtype: u16, ttl: u32) -> Result<usize, Full> {
        let [t0, t1] = rtype.to_be_bytes();
        let [l0, l1, l2, l3] = ttl.to_be_bytes();
        self.put(&[t0, t1, 0, 1, l0, l1, l2, l3, 0, 0])?;
        Ok(self.at)
    }

    /// Sets the length of the data that begins at `from` and ends here.
    fn close(&mut self, from: usize) -> Result<(), Full> {
        let len = u16::try_from(self.at - from).map_err(|_| Full)?;
        self.patch(from - 2, &len.to_be_bytes());
        Ok(())
    }

    fn rdata_with_names(&mut self, rdata: &[u8], before: usize, names: usize) -> Result<(), Full> {
        let mut rest = rdata.get(before..).unwrap_or_default();
        self.put(rdata.get(..before).unwrap_or(rdata))?;
        for _ in 0..names {
            // Data of another make (RFC 3597) is copied as it is.
            let Some(name) = rdata::name_at(rest) else { break };
            self.name(name)?;
            rest = rest.get(name.len()..).unwrap_or_default();
        }
        self.put(rest)
    }

    /// Appends an uncompressed name as short as it goes. Returns an offset that points at the same name, [`POINTER_END`] or more where none does.
    pub(super) fn name(&mut self, wire: &[u8]) -> Result<usize, Full> {
        let start = self.at;
        // Not to this name itself: behind what is written of it stand octets of messages before.
        let known_before = self.known;
        let mut rest = wire;
        loop {
            let Some(len) = rest.first().copied().filter(|len| *len != 0) else {
                self.put(&[0])?;
                return Ok(if rest.len() == wire.len() { POINTER_END } else { start });
            };
            if let Some(known) = self.known_at(rest, known_before) {
                self.pointer(known)?;
                return Ok(if rest.len() == wire.len() { known } else { start });
            }
            self.remember(self.at, rest.len());
            let (label, tail) = rest.split_at_checked(usize::from(len) + 1).ok_or(Full)?;
            self.put(label)?;
            rest = tail;
        }
    }

    fn pointer(&mut self, to: usize) -> Result<(), Full> {
        self.put(&(0xc000 | to as u16).to_be_bytes())
    }

    fn remember(&mut self, at: usize, len: usize) {
        if at < POINTER_END
            && let Some(entry) = self.names.get_mut(self.known)
        {
            *entry = (at as u16, len as u8);
            self.known += 1;
        }
    }

    fn know_question(&mut self) {
        let question = self.out.get(QUESTION..).unwrap_or_default();
        let Some(len) = rdata::name_at(question).map(<[u8]>::len) else { return };
        let mut skip = super::count_labels(question).saturating_sub(MAX_QUESTION_LABELS);
        let mut at = QUESTION;
        while let Some(label) = self.out.get(at).copied().filter(|label| *label != 0) {
            if skip == 0 {
                self.remember(at, QUESTION + len - at);
            }
            skip = skip.saturating_sub(1);
            at += usize::from(label) + 1;
        }
    }

    /// Where one of the first `known` names is `name`. Most others have another length.
    fn known_at(&self, name: &[u8], known: usize) -> Option<usize> {
        let known = self.names.get(..known)?;
        let mut alike = known.iter().filter(|(_, len)| usize::from(*len) == name.len());
        alike.find(|(at, _)| self.equals(usize::from(*at), name)).map(|(at, _)| usize::from(*at))
    }

    /// Whether the name in the message at `at`, its pointers followed, is `name`, ASCII case aside.
    pub(super) fn equals(&self, mut at: usize, name: &[u8]) -> bool {
        let mut rest = name;
        // A name has at most 127 labels, and before each one pointer.
        for _ in 0..256 {
            let Some(len) = self.out.get(at).copied() else { return false };
            if len >= 0xc0 {
                let low = self.out.get(at + 1).copied().unwrap_or(0);
                at = usize::from(u16::from_be_bytes([len & 0x3f, low]));
                continue;
            }
            if rest.first() != Some(&len) {
                return false;
            }
            if len == 0 {
                return true;
            }
            let end = usize::from(len) + 1;
            match (self.out.get(at..at + end), rest.split_at_checked(end)) {
                (Some(here), Some((label, tail))) if self.is_same(here, label) => rest = tail,
                _ => return false,
            }
            at += end;
        }
        false
    }

    fn is_same(&self, here: &[u8], label: &[u8]) -> bool {
        here == label || !self.exactly && here.eq_ignore_ascii_case(label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(question: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 512];
        out[QUESTION..QUESTION + question.len()].copy_from_slice(question);
        out
    }

    #[test]
    fn names_point_back_in_any_case() {
        let question = b"\x03wWw\x04CONF\x04test\0";
        let mut out = message(question);
        let at = QUESTION + question.len() + 4;
        let mut writer = Writer::new(&mut out, at, 512);
        assert_eq!(writer.name(b"\x03www\x04conf\x04test\0"), Ok(12));
        assert_eq!(writer.name(b"\x02ns\x04conf\x04test\0"), Ok(at + 2));
        assert_eq!(writer.name(b"\x02NS\x04conf\x04test\0"), Ok(at + 2));
        assert!(writer.name(b"\0").is_ok_and(|at| at >= POINTER_END));
        let end = writer.position();
        assert_eq!(&out[at..end], b"\xc0\x0c\x02ns\xc0\x10\xc0\x21\0");
    }

    #[test]
    fn a_name_never_points_at_itself() {
        let question = b"\x01a\0";
        let mut out = message(question);
        // What a message before left behind: it goes on as the name would.
        out[21..30].copy_from_slice(b"\x01b\x01x\0....");
        let mut writer = Writer::new(&mut out, 19, 512);
        assert_eq!(writer.name(b"\x01b\x01b\x01x\0"), Ok(19));
        let end = writer.position();
        assert_eq!(&out[19..end], b"\x01b\x01b\x01x\0");
    }

    #[test]
    fn an_rrset_that_does_not_fit_leaves_no_trace() {
        let question = b"\x01a\0";
        let mut out = message(question);
        let mut writer = Writer::new(&mut out, 19, 19 + 40);
        let rdatas = [&[192, 0, 2, 1][..], &[192, 0, 2, 2], &[192, 0, 2, 3]];
        assert_eq!(writer.rrset(b"\x01b\0", 1, 60, rdatas.into_iter()), Err(Full));
        assert_eq!(writer.position(), 19);
        assert_eq!(writer.rrset(b"\x01b\0", 1, 60, rdatas.into_iter().take(2)), Ok(2));
        assert_eq!(writer.name(b"\x01b\0"), Ok(19));
    }
}
