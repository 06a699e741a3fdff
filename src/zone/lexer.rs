//! Tokens of a master file (RFC 1035, section 5.1), each with its place in the text.
//!
//! A token is a range of the text: nothing is copied and no escape is resolved here. Parentheses and comments never come
//! out; a line end inside parentheses is a space. What is wrong comes out as a token too, so that the reader reports it
//! and goes on at the next record.

/// One token: what it is and which octets of the text. Texts have at most 512 MiB; a token fits two registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    /// First octet; of a quoted string the one after the quote.
    pub start: u32,
    /// After the last octet; of a quoted string the closing quote.
    pub end: u32,
}

impl Token {
    #[inline]
    fn new(kind: Kind, start: usize, end: usize) -> Self {
        Self { kind, start: start as u32, end: end as u32 }
    }

    /// Its octets of a text.
    #[inline]
    pub(super) fn of<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A line begins with white space: the record has the owner of the one before.
    Blank,
    Word,
    Quoted,
    Newline,
    End,
    Fault(LexFault),
}

/// What the lexer cannot make a token of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LexFault {
    #[error("this quote is not closed on its line")]
    OpenQuote,
    #[error("this parenthesis is never closed")]
    OpenParenthesis,
    #[error("this parenthesis closes nothing")]
    StrayParenthesis,
    #[error("a backslash has nothing to escape on its line")]
    StrayBackslash,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    Space,
    Newline,
    Comment,
    Open,
    Close,
    Quote,
    Backslash,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Plain; 256];
    classes[b' ' as usize] = Class::Space;
    classes[b'\t' as usize] = Class::Space;
    classes[b'\r' as usize] = Class::Space;
    classes[b'\n' as usize] = Class::Newline;
    classes[b';' as usize] = Class::Comment;
    classes[b'(' as usize] = Class::Open;
    classes[b')' as usize] = Class::Close;
    classes[b'"' as usize] = Class::Quote;
    classes[b'\\' as usize] = Class::Backslash;
    classes
};

#[inline]
fn class_of(octet: u8) -> Class {
    CLASSES[usize::from(octet)]
}

/// Reads the tokens of one text.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    depth: u32,
    /// Where the outermost open parenthesis stands.
    opened: usize,
    peeked: Option<Token>,
    /// After the last word or string that was taken.
    taken: u32,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0, opened: 0, peeked: None, taken: 0 }
    }

    pub(super) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The octets of a token, escapes as they stand.
    #[inline]
    pub(super) fn octets(&self, token: Token) -> &'a [u8] {
        token.of(self.text)
    }

    /// The next token, without taking it.
    #[inline]
    pub(super) fn peek(&mut self) -> Token {
        match self.peeked {
            Some(token) => token,
            None => {
                let token = self.scan();
                self.peeked = Some(token);
                token
            }
        }
    }

    /// Takes the next token. After the end it is `End` for ever.
    #[inline]
    pub(super) fn next(&mut self) -> Token {
        let token = match self.peeked.take() {
            Some(token) => token,
            None => self.scan(),
        };
        match token.kind {
            Kind::Word => self.taken = token.end,
            Kind::Quoted => self.taken = token.end + 1,
            _ => {}
        }
        token
    }

    /// Gives back the token that was taken last.
    pub(super) fn put_back(&mut self, token: Token) {
        self.peeked = Some(token);
    }

    /// Goes past a byte order mark.
    pub(super) fn skip_mark(&mut self) {
        self.at = 3.min(self.text.len());
    }

    /// After the last word or string that was taken, its closing quote included.
    pub(super) fn taken(&self) -> u32 {
        self.taken
    }

    /// Whether the token that was looked at last stands inside parentheses.
    #[inline]
    pub(super) fn is_enclosed(&self) -> bool {
        self.depth > 0
    }

    /// Takes the words up to the end of the record and says which octets they stand in; for `$GENERATE`.
    pub(super) fn rest_of_record(&mut self) -> (u32, u32) {
        let start = self.peek().start;
        let start = if self.peek().kind == Kind::Quoted { start - 1 } else { start };
        let mut end = start;
        while matches!(self.peek().kind, Kind::Quoted | Kind::Word | Kind::Blank) {
            self.next();
            end = self.taken;
        }
        (start, end)
    }

    /// Goes to the end of the record, past what is wrong in it. After a parenthesis that nothing closes, that is the end
    /// of the line that opens it; the parenthesis is given back.
    pub(super) fn skip_record(&mut self) -> Option<Token> {
        loop {
            let token = self.next();
            match token.kind {
                Kind::Newline | Kind::End => return None,
                Kind::Fault(LexFault::OpenParenthesis) => {
                    self.reopen_after(token.start as usize);
                    return Some(token);
                }
                Kind::Blank | Kind::Word | Kind::Quoted | Kind::Fault(_) => {}
            }
        }
    }

    /// Goes to the line after `place`, outside any parenthesis.
    pub(super) fn reopen_after(&mut self, place: usize) {
        self.depth = 0;
        self.peeked = None;
        self.at = place;
        self.skip_line();
        self.at = (self.at + 1).min(self.text.len());
    }

    #[inline]
    fn scan(&mut self) -> Token {
        let start = self.at;
        match self.class() {
            Some(Class::Plain) => self.word(start),
            // Between the words of a line stands one space, as a rule.
            Some(Class::Space) if start > 0 && self.text.get(start - 1) != Some(&b'\n') => {
                self.at += 1;
                if self.class() == Some(Class::Plain) { self.word(start + 1) } else { self.scan_any() }
            }
            Some(Class::Newline) if self.depth == 0 => {
                self.at += 1;
                Token::new(Kind::Newline, start, self.at)
            }
            _ => self.scan_any(),
        }
    }

    fn scan_any(&mut self) -> Token {
        loop {
            let start = self.at;
            let Some(class) = self.class() else { return self.end() };
            match class {
                Class::Space => {
                    let line_start = start == 0 || self.text.get(start - 1) == Some(&b'\n');
                    while self.class() == Some(Class::Space) {
                        self.at += 1;
                    }
                    if line_start && self.depth == 0 {
                        return Token::new(Kind::Blank, start, self.at);
                    }
                }
                Class::Newline => {
                    self.at += 1;
                    if self.depth == 0 {
                        return Token::new(Kind::Newline, start, self.at);
                    }
                }
                Class::Comment => self.skip_line(),
                Class::Open => {
                    if self.depth == 0 {
                        self.opened = start;
                    }
                    self.depth = self.depth.saturating_add(1);
                    self.at += 1;
                }
                Class::Close => {
                    self.at += 1;
                    match self.depth.checked_sub(1) {
                        Some(depth) => self.depth = depth,
                        None => return self.fault(LexFault::StrayParenthesis, start, self.at),
                    }
                }
                Class::Quote => return self.quoted(start),
                Class::Plain | Class::Backslash => return self.word(start),
            }
        }
    }

    #[inline]
    fn class(&self) -> Option<Class> {
        self.text.get(self.at).map(|octet| class_of(*octet))
    }

    #[inline(always)]
    fn word(&mut self, start: usize) -> Token {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let plain = rest.iter().position(|octet| class_of(*octet) != Class::Plain).unwrap_or(rest.len());
        self.at += plain;
        if rest.get(plain) == Some(&b'\\') {
            return self.escaped_word(start);
        }
        Token::new(Kind::Word, start, self.at)
    }

    #[cold]
    fn escaped_word(&mut self, start: usize) -> Token {
        while let Some(class) = self.class() {
            match class {
                Class::Plain => self.at += 1,
                Class::Backslash => match self.text.get(self.at + 1) {
                    None | Some(b'\n') => {
                        self.at += 1;
                        return self.fault(LexFault::StrayBackslash, self.at - 1, self.at);
                    }
                    Some(_) => self.at += 2,
                },
                _ => break,
            }
        }
        Token::new(Kind::Word, start, self.at)
    }

    fn quoted(&mut self, start: usize) -> Token {
        self.at += 1;
        while let Some(class) = self.class() {
            match class {
                Class::Quote => {
                    self.at += 1;
                    return Token::new(Kind::Quoted, start + 1, self.at - 1);
                }
                Class::Newline => break,
                Class::Backslash if self.text.get(self.at + 1) != Some(&b'\n') => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at = self.at.min(self.text.len());
        self.fault(LexFault::OpenQuote, start, self.at)
    }

    fn end(&mut self) -> Token {
        if self.depth > 0 {
            return self.fault(LexFault::OpenParenthesis, self.opened, self.opened + 1);
        }
        Token::new(Kind::End, self.text.len(), self.text.len())
    }

    fn fault(&self, fault: LexFault, start: usize, end: usize) -> Token {
        Token::new(Kind::Fault(fault), start, end)
    }

    fn skip_line(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|octet| *octet == b'\n').unwrap_or(rest.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<(Kind, String)> {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut out = Vec::new();
        loop {
            let token = lexer.next();
            if token.kind == Kind::End {
                return out;
            }
            out.push((token.kind, String::from_utf8_lossy(lexer.octets(token)).into_owned()));
            if token.kind == Kind::Fault(LexFault::OpenParenthesis) {
                lexer.reopen_after(token.start as usize);
            }
        }
    }

    fn words(text: &str) -> Vec<String> {
        tokens(text)
            .into_iter()
            .filter(|(kind, _)| matches!(kind, Kind::Word | Kind::Quoted))
            .map(|(_, text)| text)
            .collect()
    }

    #[test]
    fn words_quotes_and_comments() {
        for (text, expected) in [
            ("a b\tc ; d", &["a", "b", "c"][..]),
            ("\"a b\" c", &["a b", "c"]),
            ("\"a;b(c\\\"d\"", &["a;b(c\\\"d"]),
            ("a\\ b\\;c", &["a\\ b\\;c"]),
            ("a\"b\"c", &["a", "b", "c"]),
            ("a (b ; c\n d) e", &["a", "b", "d", "e"]),
            ("a(b)c", &["a", "b", "c"]),
            ("a\r\nb", &["a", "b"]),
            ("", &[]),
        ] {
            assert_eq!(words(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_blank_begins_a_line_outside_parentheses() {
        let kinds: Vec<Kind> = tokens(" a (\n b)\n\tc\nd").into_iter().map(|(kind, _)| kind).collect();
        let Kind::Word = kinds[1] else { panic!() };
        assert_eq!(
            kinds,
            [Kind::Blank, Kind::Word, Kind::Word, Kind::Newline, Kind::Blank, Kind::Word, Kind::Newline, Kind::Word]
        );
    }

    #[test]
    fn faults_are_tokens_and_reading_goes_on() {
        assert_eq!(tokens("\"a\nb")[0].0, Kind::Fault(LexFault::OpenQuote));
        assert_eq!(tokens("\"a\nb").last().map(|(_, text)| text.as_str()), Some("b"));
        assert_eq!(tokens(") a")[0].0, Kind::Fault(LexFault::StrayParenthesis));
        assert_eq!(tokens("a\\\nb")[0].0, Kind::Fault(LexFault::StrayBackslash));
        let unclosed = tokens("a ( b\nc");
        assert_eq!(unclosed.last().map(|(_, text)| text.as_str()), Some("c"));
        assert!(unclosed.iter().any(|(kind, _)| *kind == Kind::Fault(LexFault::OpenParenthesis)));
    }
}
