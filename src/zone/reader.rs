//! The reader of master files (RFC 1035, section 5; RFC 2308, section 4; RFC 3597; RFC 4027).
//!
//! Goes through the text once, record by record. What is wrong with a record is logged with its place, and reading goes on
//! at the next one, so that every fault of a file is told at once.
//!
//! ```text
//! [owner] [ttl] [class] type rdata        ttl and class in either order, both may be left out
//! $ORIGIN name        $TTL span        $INCLUDE file [origin]        $GENERATE range owner [ttl] [class] type rdata
//! ```

use super::faults;
use super::generate;
use super::index::Index;
use super::lexer::{Kind, Lexer, Token};
use super::log::{Log, Place};
use super::name::{self, InvalidName, MAX_NAME, Name, Written};
use super::names::{Names, below};
use super::places::{Places, Spot};
use super::rdata::{self, Fault};
use super::record::Rtype;
use super::records::{Records, TooLarge, has_hidden_label};
use super::rtype::{NotAType, mnemonics};
use super::sources::{Library, Sources};
use super::span::{self, MAX_TTL};
use super::suggestion::suggestion;

/// `$INCLUDE` inside `$INCLUDE`.
pub const MAX_DEPTH: u32 = 16;
/// Records of one zone; their numbers fit 32 bits.
pub const MAX_RECORDS: usize = 100_000_000;

/// What a zone's files say, good or not.
#[derive(Debug)]
pub(super) struct Reading {
    /// Grouped; without those out of the zone.
    pub records: Records,
    /// Where owners are found; empty while records are read.
    pub index: Index,
    /// Where each record stands.
    pub places: Places,
    /// Whether any owner is hidden: whether there may be steering records.
    pub hidden: bool,
    pub sources: Sources,
    pub log: Log,
}

/// Reads the main file and what it includes.
pub(super) fn read(sources: Sources, library: &Library<'_>, origin: &Name) -> Reading {
    let (records, index) = (Records::begin(origin, sources.octets(0).len()), Index::new(0));
    let hidden = has_hidden_label(origin.as_wire());
    let places = Places::with_capacity(sources.octets(0).len() / 16);
    let mut reader = Reader {
        reading: Reading { records, index, places, hidden, sources, log: Log::default() },
        library,
        zone: origin,
        scratch: Vec::new(),
        default_ttl: None,
        last_ttl: None,
        directive: None,
    };
    reader.file(0, origin.clone(), 0);
    let mut reading = reader.reading;
    reading.index = reading.records.unite();
    reading.records.group(&mut reading.places.starts);
    reading
}

impl Reading {
    pub(super) fn names(&self) -> Names<'_> {
        Names::new(&self.records, &self.index)
    }
}

struct Reader<'a> {
    reading: Reading,
    library: &'a Library<'a>,
    /// The zone's origin as it is told.
    zone: &'a Name,
    scratch: Vec<u8>,
    /// What `$TTL` said last; it outlives the file it stands in.
    default_ttl: Option<u32>,
    /// The last TTL that a record gave.
    last_ttl: Option<u32>,
    /// Where the `$GENERATE` stands whose records are read now.
    directive: Option<Spot>,
}

/// One file being read.
struct Frame {
    file: u16,
    base: u32,
    depth: u32,
    origin: Name,
    /// The labels of `origin` below the zone's in lower case; none where it is not in the zone.
    below: Option<Vec<u8>>,
    owner: Owner,
    /// Of an owner in the zone: its labels below the zone's origin in lower case.
    labels: Vec<u8>,
}

/// The owner that a record without one takes.
enum Owner {
    None,
    /// With its number, once it has a record.
    Inside(Option<u32>),
    Outside(Name),
}

impl Frame {
    fn new(file: u16, base: u32, depth: u32, origin: Name, zone: &Name) -> Self {
        let mut frame =
            Self { file, base, depth, origin: Name::root(), below: None, owner: Owner::None, labels: Vec::new() };
        frame.take_origin(origin, zone);
        frame
    }

    fn take_origin(&mut self, origin: Name, zone: &Name) {
        self.below = labels_below(&origin, zone);
        self.origin = origin;
    }

    /// Reads an owner name. Until it is read, a record without an owner has none to take.
    fn take_owner(&mut self, text: &[u8], zone: &Name) -> Result<(), InvalidName> {
        self.owner = Owner::None;
        if let Some(below) = &self.below
            && name::one_label(text, &mut self.labels)
            && self.labels.len() + self.origin.as_wire().len() <= MAX_NAME
        {
            self.labels.extend_from_slice(below);
            self.owner = Owner::Inside(None);
            return Ok(());
        }
        self.labels.clear();
        let written = name::append_labels(text, &mut self.labels)?;
        match (written, &self.below) {
            (Written::Relative, Some(below)) => {
                if self.labels.len() + self.origin.as_wire().len() > MAX_NAME {
                    return Err(InvalidName::LongName);
                }
                self.labels.make_ascii_lowercase();
                self.labels.extend_from_slice(below);
                self.owner = Owner::Inside(None);
            }
            (Written::Relative, None) => {
                self.labels.extend_from_slice(self.origin.as_wire());
                self.owner = Owner::Outside(whole(&self.labels)?);
            }
            (Written::Absolute, _) => {
                let name = whole(&self.labels)?;
                match labels_below(&name, zone) {
                    Some(labels) => {
                        self.labels = labels;
                        self.owner = Owner::Inside(None);
                    }
                    None => self.owner = Owner::Outside(name),
                }
            }
        }
        Ok(())
    }
}

/// A name from the octets that its text gave.
fn whole(wire: &[u8]) -> Result<Name, InvalidName> {
    if wire.len() > MAX_NAME { Err(InvalidName::LongName) } else { Name::from_wire(wire) }
}

fn labels_below(name: &Name, zone: &Name) -> Option<Vec<u8>> {
    below(name.to_lowercase().as_wire(), zone.to_lowercase().as_wire()).map(<[u8]>::to_vec)
}

impl Reader<'_> {
    fn file(&mut self, file: u16, origin: Name, depth: u32) {
        let text = self.reading.sources.shared(file);
        let mut lexer = Lexer::new(&text);
        let mut frame = Frame::new(file, self.reading.sources.base(file), depth, origin, self.zone);
        if text.starts_with(b"\xef\xbb\xbf") {
            let place = Place { file, start: 0, end: 3 };
            self.reading.log.error_with_help(place, "the file begins with a byte order mark", "save it without one");
            lexer.skip_mark();
        }
        self.records_of(&mut lexer, &mut frame);
    }

    fn records_of(&mut self, lexer: &mut Lexer<'_>, frame: &mut Frame) {
        while !self.reading.log.is_full() {
            let token = lexer.next();
            let done = match token.kind {
                Kind::End => return,
                Kind::Newline => continue,
                Kind::Word if lexer.octets(token).first() == Some(&b'$') => self.directive(lexer, frame, token),
                _ => self.record(lexer, frame, token),
            };
            if let Err(fault) = done {
                self.recover(lexer, frame.file, fault);
            }
        }
    }

    /// Logs a fault and goes to the next record. A parenthesis left open explains all that comes after it.
    fn recover(&mut self, lexer: &mut Lexer<'_>, file: u16, fault: Fault) {
        let open = lexer.skip_record();
        let fault = match open {
            Some(token) if token.start < fault.start => match token.kind {
                Kind::Fault(of) => Fault::of_lexer(token, of),
                _ => fault,
            },
            _ => fault,
        };
        self.reading.log.fault(file, fault);
    }

    /// One record, whose first token has been taken.
    fn record(&mut self, lexer: &mut Lexer<'_>, frame: &mut Frame, first: Token) -> Result<(), Fault> {
        let mut enclosed = lexer.is_enclosed();
        let mut start = first.start;
        match first.kind {
            Kind::Word => {
                let owner = frame.take_owner(lexer.octets(first), self.zone);
                owner.map_err(|error| Fault::new(first, error.to_string()))?;
            }
            Kind::Blank => {
                let second = lexer.peek();
                if matches!(second.kind, Kind::Newline | Kind::End) {
                    return Ok(());
                }
                start = second.start;
                enclosed = lexer.is_enclosed();
            }
            Kind::Fault(fault) => {
                lexer.put_back(first);
                return Err(Fault::of_lexer(first, fault));
            }
            _ => return Err(Fault::new(first, "expected an owner name or a directive")),
        }
        let (ttl, type_token, rtype) = self.head(lexer)?;
        if matches!(frame.owner, Owner::None) {
            return Err(Fault::new(type_token, "no owner: neither this line nor one before it in this file names one"));
        }
        rdata::read(lexer, rtype, &frame.origin, &mut self.scratch)?;
        let place = Place { file: frame.file, start, end: lexer.taken() };
        self.take(frame, rtype, ttl, type_token, Spot { place, enclosed })
    }

    /// TTL, class and type.
    fn head(&mut self, lexer: &mut Lexer<'_>) -> Result<(Option<u32>, Token, Rtype), Fault> {
        let mut ttl = None;
        let mut class = false;
        loop {
            let token = lexer.next();
            match token.kind {
                Kind::Word => {}
                Kind::Fault(fault) => return Err(Fault::of_lexer(token, fault)),
                Kind::Newline | Kind::End => {
                    let fault = Fault::new(Token { end: token.start, ..token }, "the record has no type");
                    lexer.put_back(token);
                    return Err(fault);
                }
                Kind::Blank | Kind::Quoted => return Err(Fault::new(token, "expected a TTL, a class or a type")),
            }
            let text = lexer.octets(token);
            if ttl.is_none() && text.first().is_some_and(u8::is_ascii_digit) {
                ttl = Some(seconds(token, text)?);
                self.last_ttl = ttl;
            } else if !class && is_in(text) {
                class = true;
            } else {
                return Ok((ttl, token, rtype(token, text)?));
            }
        }
    }

    fn take(&mut self, frame: &mut Frame, rtype: Rtype, ttl: Option<u32>, at: Token, spot: Spot) -> Result<(), Fault> {
        let spot = self.directive.unwrap_or(spot);
        let ttl = match ttl.or(self.default_ttl).or(self.last_ttl) {
            Some(ttl) => ttl,
            None => self.minimum(rtype, spot.place).ok_or_else(|| {
                Fault::new(at, "no TTL: the record has none, and neither has a record or a `$TTL` before it")
                    .with_help("begin the file with `$TTL 300`, or what it should be")
            })?,
        };
        let Reading { records, places, hidden, log, .. } = &mut self.reading;
        if records.len() >= MAX_RECORDS {
            return Err(Fault::new(at, "the zone has more than 100,000,000 records"));
        }
        let owner = match &mut frame.owner {
            Owner::Outside(owner) => {
                faults::outside(owner, self.zone, spot.place, log);
                return Ok(());
            }
            Owner::Inside(Some(number)) => *number,
            known => {
                *hidden |= has_hidden_label(&frame.labels);
                let number = records.add_owner(&frame.labels).map_err(|error| too_large(at, error))?;
                *known = Owner::Inside(Some(number));
                number
            }
        };
        records.push(owner, rtype, ttl, &self.scratch).map_err(|error| too_large(at, error))?;
        places.push(spot, frame.base);
        Ok(())
    }

    /// A first SOA without a TTL takes its own MINIMUM, as do those after it.
    fn minimum(&mut self, rtype: Rtype, place: Place) -> Option<u32> {
        let minimum = self.scratch.last_chunk::<4>().filter(|_| rtype == Rtype::SOA)?;
        let minimum = u32::from_be_bytes(*minimum).min(MAX_TTL);
        self.reading.log.warning(place, format!("no TTL is set: taking {minimum}, the last number of this SOA record"));
        self.default_ttl = Some(minimum);
        Some(minimum)
    }

    fn directive(&mut self, lexer: &mut Lexer<'_>, frame: &mut Frame, token: Token) -> Result<(), Fault> {
        let enclosed = lexer.is_enclosed();
        let text = lexer.octets(token);
        if text.eq_ignore_ascii_case(b"$ORIGIN") {
            let (at, text) = argument(lexer, "a name")?;
            let origin = Name::from_text(text, &frame.origin).map_err(|error| Fault::new(at, error.to_string()))?;
            end(lexer)?;
            frame.take_origin(origin, self.zone);
            return Ok(());
        }
        if text.eq_ignore_ascii_case(b"$TTL") {
            let (at, text) = argument(lexer, "a TTL")?;
            let ttl = seconds(at, text)?;
            end(lexer)?;
            self.default_ttl = Some(ttl);
            return Ok(());
        }
        if text.eq_ignore_ascii_case(b"$INCLUDE") {
            return self.include(lexer, frame);
        }
        if text.eq_ignore_ascii_case(b"$GENERATE") {
            return self.generate(lexer, frame, token, enclosed);
        }
        let known = suggestion(&String::from_utf8_lossy(text), ["$ORIGIN", "$TTL", "$INCLUDE", "$GENERATE"]);
        let fault = Fault::new(token, format!("`{}` is no directive", String::from_utf8_lossy(text)));
        Err(match known {
            Some(known) => fault.with_help(format!("did you mean `{known}`?")),
            None => fault.with_help("known are $ORIGIN, $TTL, $INCLUDE and $GENERATE"),
        })
    }

    fn include(&mut self, lexer: &mut Lexer<'_>, frame: &Frame) -> Result<(), Fault> {
        let at = lexer.next();
        if !matches!(at.kind, Kind::Word | Kind::Quoted) {
            lexer.put_back(at);
            return Err(Fault::new(at, "expected a file"));
        }
        let path = lexer.octets(at).to_vec();
        let mut origin = frame.origin.clone();
        if lexer.peek().kind == Kind::Word {
            let (at, text) = argument(lexer, "a name")?;
            origin = Name::from_text(text, &frame.origin).map_err(|error| Fault::new(at, error.to_string()))?;
        }
        end(lexer)?;
        // The directive's line is over: what is wrong from here on must not skip the next one.
        if frame.depth >= MAX_DEPTH {
            let fault = Fault::new(at, format!("files include each other more than {MAX_DEPTH} deep"));
            self.reading.log.fault(frame.file, fault);
            return Ok(());
        }
        match self.reading.sources.include(self.library, frame.file, &path) {
            Ok(file) => self.file(file, origin, frame.depth + 1),
            Err(error) => {
                let shown = String::from_utf8_lossy(&path).into_owned();
                self.reading.log.fault(frame.file, Fault::new(at, format!("cannot include `{shown}`: {error}")));
            }
        }
        Ok(())
    }

    fn generate(
        &mut self,
        lexer: &mut Lexer<'_>,
        frame: &Frame,
        directive: Token,
        enclosed: bool,
    ) -> Result<(), Fault> {
        let (at, text) = argument(lexer, "a range")?;
        let range = generate::range(text).map_err(|message| Fault::new(at, message))?;
        let (owner_at, owner) = argument(lexer, "an owner name")?;
        let (start, stop) = lexer.rest_of_record();
        let rest = generate::unquoted(lexer.text().get(start as usize..stop as usize).unwrap_or_default());
        end(lexer)?;
        let whole = Token { kind: Kind::Word, start: directive.start, end: stop.max(owner_at.end) };
        if owner.len() + rest.len() > generate::MAX_TEMPLATE {
            let most = generate::MAX_TEMPLATE;
            return Err(Fault::new(whole, format!("a $GENERATE has more than {most} octets of owner and data")));
        }
        let place = Place { file: frame.file, start: whole.start, end: whole.end };
        self.directive = Some(Spot { place, enclosed });
        let done = range.into_iter().try_for_each(|value| self.generated(frame, owner, &rest, value));
        self.directive = None;
        if let Err((value, message)) = done {
            let fault = Fault::new(whole, format!("the record for {value}: {message}"));
            self.reading.log.fault(frame.file, fault);
        }
        Ok(())
    }

    fn generated(&mut self, frame: &Frame, owner: &[u8], rest: &[u8], value: i64) -> Result<(), (i64, String)> {
        let mut text = generate::replace(owner, value).map_err(|message| (value, message))?;
        text.push(b' ');
        text.extend(generate::replace(rest, value).map_err(|message| (value, message))?);
        let mut lexer = Lexer::new(&text);
        let mut frame = Frame::new(frame.file, frame.base, frame.depth, frame.origin.clone(), self.zone);
        let first = lexer.next();
        self.record(&mut lexer, &mut frame, first).map_err(|fault| (value, fault.message))
    }
}

fn argument<'a>(lexer: &mut Lexer<'a>, what: &str) -> Result<(Token, &'a [u8]), Fault> {
    let token = lexer.peek();
    match token.kind {
        Kind::Word => {
            lexer.next();
            Ok((token, lexer.octets(token)))
        }
        Kind::Fault(fault) => Err(Fault::of_lexer(token, fault)),
        _ => Err(Fault::new(Token { end: token.start, ..token }, format!("expected {what}"))),
    }
}

fn end(lexer: &mut Lexer<'_>) -> Result<(), Fault> {
    let token = lexer.peek();
    match token.kind {
        Kind::Newline | Kind::End => {
            lexer.next();
            Ok(())
        }
        Kind::Fault(fault) => Err(Fault::of_lexer(token, fault)),
        _ => Err(Fault::new(token, "expected the end of the line")),
    }
}

#[cold]
fn too_large(at: Token, error: TooLarge) -> Fault {
    Fault::new(at, error.to_string())
}

fn seconds(token: Token, text: &[u8]) -> Result<u32, Fault> {
    let ttl = span::seconds(text)
        .ok_or_else(|| Fault::new(token, "this is no TTL: seconds, or numbers with units as in `1h30m`"))?;
    if ttl > MAX_TTL {
        return Err(Fault::new(token, "a TTL is at most 2147483647 (RFC 2181, section 8)"));
    }
    Ok(ttl)
}

#[inline]
fn is_in(text: &[u8]) -> bool {
    text == b"IN" || text.eq_ignore_ascii_case(b"IN") || text.eq_ignore_ascii_case(b"CLASS1")
}

#[inline]
fn rtype(token: Token, text: &[u8]) -> Result<Rtype, Fault> {
    Rtype::of_data(text).map_err(|why| not_a_type(token, text, why))
}

#[cold]
fn not_a_type(token: Token, text: &[u8], why: NotAType) -> Fault {
    let shown = String::from_utf8_lossy(text);
    if why == NotAType::Meta {
        return Fault::new(token, format!("{shown} is no type of zone data"));
    }
    let upper = shown.to_ascii_uppercase();
    if ["CH", "CS", "HS", "ANY", "NONE"].contains(&upper.as_str()) || upper.starts_with("CLASS") {
        return Fault::new(token, format!("class {shown}: only class IN is served"));
    }
    let fault = Fault::new(token, format!("`{shown}` is no record type"));
    match suggestion(&upper, mnemonics().map(|(_, mnemonic)| mnemonic)) {
        Some(known) => fault.with_help(format!("did you mean `{known}`?")),
        None => fault.with_help("a type without a mnemonic is written `TYPEnnn` (RFC 3597, section 5)"),
    }
}
