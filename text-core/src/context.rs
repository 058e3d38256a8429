//! The context of a rendering: JSON as Python's json.loads reads it. Numbers keep their digits, whole numbers of any
//! length stay whole, members keep their order.

use crate::guard;
use minijinja::value::{Object, ObjectRepr};
use minijinja::{Error, ErrorKind, Value};
use std::fmt;
use std::sync::Arc;

/// Deeper texts are refused: reading them recurses.
const MAX_DEPTH: usize = 512;

/// A whole number beyond 128 bits, which is only ever written again.
#[derive(Debug)]
pub struct LongInteger(String);

impl Object for LongInteger {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The digits of a whole number that the engine's own numbers cannot hold.
pub fn long_integer(value: &Value) -> Option<&str> {
    value.downcast_object_ref::<LongInteger>().map(|long| long.0.as_str())
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, what: &str) -> Error {
        Error::new(ErrorKind::BadSerialization, format!("context: expected {what} at byte {}", self.at))
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let found = self.byte() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Error> {
        if self.take(byte) {
            return Ok(());
        }
        Err(self.error(&format!("'{}'", byte as char)))
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.text[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        if depth > MAX_DEPTH {
            return Err(self.error("less nesting"));
        }
        self.skip_blanks();
        match self.byte() {
            Some(b'"') => self.string().map(Value::from),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.word("null") => Ok(Value::from(())),
            _ if self.word("true") => Ok(Value::from(true)),
            _ if self.word("false") => Ok(Value::from(false)),
            _ => Err(self.error("a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Error> {
        self.expect(b'{')?;
        let mut members: Vec<(String, Value)> = Vec::new();
        while !self.take(b'}') {
            guard::check()?;
            if !members.is_empty() {
                self.expect(b',')?;
                self.skip_blanks();
            }
            let key = self.string()?;
            self.expect(b':')?;
            members.push((key, self.value(depth + 1)?));
        }
        Ok(members.into_iter().collect())
    }

    fn array(&mut self, depth: usize) -> Result<Value, Error> {
        self.expect(b'[')?;
        let mut items = Vec::new();
        while !self.take(b']') {
            guard::check()?;
            if !items.is_empty() {
                self.expect(b',')?;
            }
            items.push(self.value(depth + 1)?);
        }
        Ok(Value::from(items))
    }

    fn number(&mut self) -> Result<Value, Error> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')).unwrap_or(rest.len());
        let text = &rest[..end];
        self.at += end;
        if text.contains(['.', 'e', 'E']) {
            return text.parse::<f64>().map(Value::from).map_err(|_| self.error("a number"));
        }
        if let Ok(small) = text.parse::<i64>() {
            return Ok(Value::from(small));
        }
        if let Ok(large) = text.parse::<i128>() {
            return Ok(Value::from(large));
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.error("a number"));
        }
        Ok(Value::from_object(LongInteger(text.to_string())))
    }

    fn string(&mut self) -> Result<String, Error> {
        self.expect(b'"')?;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(length) = rest.find(['"', '\\']) else { return Err(self.error("the end of a string")) };
            guard::reserve(1, length)?;
            out.push_str(&rest[..length]);
            self.at += length + 1;
            if rest.as_bytes()[length] == b'"' {
                return Ok(out);
            }
            let escape = self.byte().unwrap_or_default();
            self.at += 1;
            match escape {
                b'"' | b'\\' | b'/' => out.push(escape as char),
                b'b' => out.push('\u{8}'),
                b'f' => out.push('\u{c}'),
                b'n' => out.push('\n'),
                b'r' => out.push('\r'),
                b't' => out.push('\t'),
                b'u' => out.push(self.escaped()?),
                _ => return Err(self.error("an escape")),
            }
        }
    }

    fn code(&mut self) -> Result<u32, Error> {
        let digits = self.text.get(self.at..self.at + 4).and_then(|four| u32::from_str_radix(four, 16).ok());
        let code = digits.ok_or_else(|| self.error("four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }

    fn escaped(&mut self) -> Result<char, Error> {
        let mut code = self.code()?;
        if (0xd800..0xdc00).contains(&code) && self.word("\\u") {
            let low = self.code()?;
            code = 0x10000 + ((code - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
        }
        Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

/// The value that a JSON text says.
pub fn read(text: &str) -> Result<Value, Error> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.skip_blanks();
    if reader.at < text.len() {
        return Err(reader.error("the end"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn numbers_keep_their_digits() {
        for text in ["0", "-7", "18446744073709551616", "-170141183460469231731687303715884105729", "94.95886283158103"] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        assert!(read("[1 2]").is_err());
        assert!(read("-").is_err());
    }
}
