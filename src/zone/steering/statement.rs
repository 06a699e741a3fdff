//! One TXT record as one statement: its text, its fields, and where each stands in the file.

use std::ops::Range;

use crate::zone::lexer::{Kind, LexFault, Lexer};
use crate::zone::log::Place;
use crate::zone::name::unescape;

/// The text of a record, its character-strings joined without a space.
#[derive(Debug)]
pub(super) struct Statement {
    text: String,
    /// The record as a whole.
    pub place: Place,
    /// Where runs of the text begin in the file: (in the text, in the file). Empty where the file does not hold the
    /// text as it is (`\# ...`, `$GENERATE`).
    runs: Vec<(usize, usize)>,
}

/// `key=value` as it is written.
#[derive(Clone, Debug)]
pub(super) struct FieldText<'a> {
    pub key: &'a str,
    pub value: &'a str,
    /// The field as a whole.
    pub place: Place,
    pub value_place: Place,
}

/// Something between spaces that is no field.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoField<'a> {
    pub text: &'a str,
    pub place: Place,
}

impl Statement {
    /// From the record data of a TXT record and the file it stands in. None where the text is no UTF-8.
    pub(super) fn new(rdata: &[u8], place: Place, file: &[u8]) -> Option<Self> {
        let strings = strings(rdata);
        let text = String::from_utf8(strings.concat()).ok()?;
        let runs = runs(&strings, place, file).unwrap_or_default();
        Some(Self { text, place, runs })
    }

    /// Its fields in order.
    pub(super) fn fields(&self) -> impl Iterator<Item = Result<FieldText<'_>, NoField<'_>>> {
        let mut at = 0;
        self.text.split(' ').filter_map(move |word| {
            let start = at;
            at += word.len() + 1;
            (!word.is_empty()).then(|| self.field(word, start))
        })
    }

    fn field<'a>(&'a self, word: &'a str, start: usize) -> Result<FieldText<'a>, NoField<'a>> {
        let place = self.part(start..start + word.len());
        let Some((key, value)) = word.split_once('=') else { return Err(NoField { text: word, place }) };
        let value_place = self.part(start + key.len() + 1..start + word.len());
        Ok(FieldText { key, value, place, value_place })
    }

    fn part(&self, part: Range<usize>) -> Place {
        let in_file = |at: usize| {
            let (text, file) = self.runs.get(self.runs.partition_point(|(text, _)| *text <= at).checked_sub(1)?)?;
            u32::try_from(file + (at - text)).ok()
        };
        let start = in_file(part.start.min(self.text.len().saturating_sub(1)));
        let end = if part.is_empty() { start } else { in_file(part.end - 1).map(|end| end + 1) };
        match (start, end) {
            (Some(start), Some(end)) => Place { start, end: end.max(start), ..self.place },
            _ => self.place,
        }
    }
}

/// The character-strings of record data that was checked.
fn strings(rdata: &[u8]) -> Vec<&[u8]> {
    let mut strings = Vec::new();
    let mut rest = rdata;
    while let [length, tail @ ..] = rest {
        let (string, after) = tail.split_at_checked(usize::from(*length)).unwrap_or((tail, &[]));
        strings.push(string);
        rest = after;
    }
    strings
}

/// Reads the record's own tokens again: its last ones are the character-strings.
fn runs(strings: &[&[u8]], place: Place, file: &[u8]) -> Option<Vec<(usize, usize)>> {
    let record = file.get(place.start as usize..place.end as usize)?;
    let mut lexer = Lexer::new(record);
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next();
        match token.kind {
            Kind::Word | Kind::Quoted => tokens.push(token),
            Kind::End | Kind::Fault(LexFault::OpenParenthesis) => break,
            _ => {}
        }
    }
    let tokens = tokens.split_off(tokens.len().checked_sub(strings.len())?);
    let mut runs = Vec::new();
    let mut at = 0;
    for (token, string) in tokens.into_iter().zip(strings) {
        let decoded = decode(lexer.octets(token), at, (place.start + token.start) as usize, &mut runs)?;
        if decoded != *string {
            return None;
        }
        at += string.len();
    }
    Some(runs)
}

/// Resolves escapes; a run begins with the text and after each escape.
fn decode(octets: &[u8], mut text: usize, file: usize, runs: &mut Vec<(usize, usize)>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets.iter().copied();
    runs.push((text, file));
    while let Some(octet) = rest.next() {
        text += 1;
        if octet == b'\\' {
            out.push(unescape(&mut rest).ok()?);
            runs.push((text, file + octets.len() - rest.len()));
        } else {
            out.push(octet);
        }
    }
    Some(out)
}
