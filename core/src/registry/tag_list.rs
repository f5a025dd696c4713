//! One page of `tags/list`, read as it arrives: a repository may have a million tags, of which a handful is wanted.

use super::answer::Sink;
use super::limits;
use crate::error::Code;

type Step = std::result::Result<(), (Code, &'static str)>;

const NOT_JSON: (Code, &str) = (Code::Protocol, "the list of tags is not the JSON of a list of tags");

/// What a page holds.
pub(super) struct Tags {
    /// The tags with the prefix, in the order served.
    pub(super) tags: Vec<String>,
    /// Whether all tags of the page come in strictly ascending order.
    pub(super) ascending: bool,
    /// The last tag of the page, with the prefix or not.
    pub(super) last: Option<String>,
}

/// Where in the document the next byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the object.
    Start,
    /// Before a member's name, or the end of the object when there is none yet.
    Name { first: bool },
    /// After a member's name.
    Colon,
    /// Before a member's value.
    Value,
    /// After a member.
    Next,
    /// Before a tag; or the end of the list when there is none yet.
    Tag { first: bool },
    /// After a tag.
    NextTag,
    /// Inside a value that does not matter, this many brackets deep.
    Skip(u32),
    /// Inside a word such as `null` or a number.
    Word,
    /// After the object.
    End,
}

/// What the string that is being read is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Name,
    Tag,
    Ignored(At),
}

/// The state of a page that is being read.
pub(super) struct TagPage<'a> {
    prefix: &'a str,
    cap: u64,
    length: u64,
    at: At,
    text: Option<Text>,
    escaped: bool,
    // The string being read, quotes included, as it stands in the document.
    raw: Vec<u8>,
    word: Vec<u8>,
    tags_member: bool,
    tags_seen: bool,
    found: Tags,
}

impl<'a> TagPage<'a> {
    /// A page that may have `cap` bytes; only tags with `prefix` are kept.
    pub(super) fn new(prefix: &'a str, cap: u64) -> TagPage<'a> {
        TagPage {
            prefix,
            cap,
            length: 0,
            at: At::Start,
            text: None,
            escaped: false,
            raw: Vec::new(),
            word: Vec::new(),
            tags_member: false,
            tags_seen: false,
            found: Tags { tags: Vec::new(), ascending: true, last: None },
        }
    }

    /// The bytes read.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// What the page holds, if it ended where a page ends.
    pub(super) fn finish(self) -> std::result::Result<Tags, &'static str> {
        if self.at == At::End && self.tags_seen { Ok(self.found) } else { Err(NOT_JSON.1) }
    }

    fn byte(&mut self, byte: u8) -> Step {
        if let Some(text) = self.text {
            return self.text_byte(text, byte);
        }
        if self.at == At::Word {
            match byte {
                b',' | b'}' | b' ' | b'\t' | b'\r' | b'\n' => {
                    self.end_word()?;
                    self.at = At::Next;
                }
                _ if self.word.len() < 64 => {
                    self.word.push(byte);
                    return Ok(());
                }
                _ => return Err(NOT_JSON),
            }
        }
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            return Ok(());
        }
        self.at = match (self.at, byte) {
            (At::Start, b'{') => At::Name { first: true },
            (At::Name { first: true }, b'}') | (At::Next, b'}') => At::End,
            (At::Name { .. }, b'"') => return self.begin(Text::Name),
            (At::Colon, b':') => At::Value,
            (At::Value, b'[') if self.tags_member => At::Tag { first: true },
            (At::Value, b'"') if !self.tags_member => return self.begin(Text::Ignored(At::Next)),
            (At::Value, b'[' | b'{') if !self.tags_member => At::Skip(1),
            (At::Value, b'n' | b't' | b'f' | b'-' | b'0'..=b'9') => {
                self.word = vec![byte];
                At::Word
            }
            (At::Next, b',') => At::Name { first: false },
            (At::Tag { .. }, b'"') => return self.begin(Text::Tag),
            (At::Tag { first: true }, b']') | (At::NextTag, b']') => At::Next,
            (At::NextTag, b',') => At::Tag { first: false },
            (At::Skip(depth), b'"') => return self.begin(Text::Ignored(At::Skip(depth))),
            (At::Skip(depth), b'[' | b'{') if depth < 32 => At::Skip(depth + 1),
            (At::Skip(1), b']' | b'}') => At::Next,
            (At::Skip(depth), b']' | b'}') => At::Skip(depth.saturating_sub(1)),
            (At::Skip(depth), b',' | b':' | b'.' | b'+' | b'-' | b'0'..=b'9' | b'a'..=b'z' | b'E') => At::Skip(depth),
            _ => return Err(NOT_JSON),
        };
        Ok(())
    }

    fn begin(&mut self, text: Text) -> Step {
        self.text = Some(text);
        self.raw = vec![b'"'];
        Ok(())
    }

    fn text_byte(&mut self, text: Text, byte: u8) -> Step {
        if !matches!(text, Text::Ignored(_)) {
            self.raw.push(byte);
            // Six bytes of an escape for each character, and the quotes.
            if self.raw.len() > limits::TAG.saturating_mul(6).saturating_add(2) {
                return Err((Code::Protocol, "the list of tags has a tag of more than 128 characters"));
            }
        }
        if std::mem::take(&mut self.escaped) {
            return Ok(());
        }
        match byte {
            b'\\' => self.escaped = true,
            b'"' => {
                self.text = None;
                self.end_text(text)?;
            }
            0..=0x1f => return Err(NOT_JSON),
            _ => {}
        }
        Ok(())
    }

    fn end_text(&mut self, text: Text) -> Step {
        let decode = |raw: &[u8]| serde_json::from_slice::<String>(raw).map_err(|_| NOT_JSON);
        match text {
            Text::Ignored(then) => self.at = then,
            Text::Name => {
                self.tags_member = decode(&self.raw)? == "tags";
                // Two lists would be two truths.
                if self.tags_member && std::mem::replace(&mut self.tags_seen, true) {
                    return Err(NOT_JSON);
                }
                self.at = At::Colon;
            }
            Text::Tag => {
                let tag = decode(&self.raw)?;
                self.found.ascending &= self.found.last.as_ref().is_none_or(|last| *last < tag);
                if tag.starts_with(self.prefix) {
                    if self.found.tags.len() >= limits::TAGS {
                        return Err((Code::TooLarge, "more tags begin with the prefix than are read"));
                    }
                    self.found.tags.push(tag.clone());
                }
                self.found.last = Some(tag);
                self.at = At::NextTag;
            }
        }
        Ok(())
    }

    fn end_word(&mut self) -> Step {
        let sound = serde_json::from_slice::<serde_json::Value>(&self.word).is_ok();
        // Distribution writes null for a repository without tags.
        let fits = !self.tags_member || self.word == b"null";
        if sound && fits { Ok(()) } else { Err(NOT_JSON) }
    }
}

impl Sink for TagPage<'_> {
    fn begin(&mut self, _: Option<u64>) {
        *self = TagPage::new(self.prefix, self.cap);
    }

    fn cap(&self) -> u64 {
        self.cap
    }

    fn take(&mut self, piece: &[u8]) -> Step {
        self.length = self.length.saturating_add(piece.len() as u64);
        piece.iter().try_for_each(|byte| self.byte(*byte))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn read(json: &str, prefix: &str) -> Result<(Vec<String>, bool, Option<String>), &'static str> {
        // One byte at a time: pieces end anywhere.
        let mut page = TagPage::new(prefix, 1 << 20);
        for byte in json.as_bytes() {
            page.take(&[*byte]).map_err(|(_, why)| why)?;
        }
        page.finish().map(|tags| (tags.tags, tags.ascending, tags.last))
    }

    #[test]
    fn keeps_the_tags_with_the_prefix() {
        let json = r#" {"name":"a\"b","tags":["a1","b", "b2","\u0062\u0033"] ,"more":{"tags":["b9"],"x":[1,-2.5e+1,null,"]"]},"n":12} "#;
        let (tags, ascending, last) = read(json, "b").unwrap();
        assert_eq!((tags, ascending), (vec!["b".to_owned(), "b2".into(), "b3".into()], true));
        assert_eq!(last.as_deref(), Some("b3"));
        assert!(!read(r#"{"tags":["b","a"]}"#, "").unwrap().1);
        assert!(!read(r#"{"tags":["a","a"]}"#, "").unwrap().1);
        for none in [r#"{"tags":null}"#, r#"{"tags":[]}"#, r#"{"tags":null,"name":"x"}"#, r#"{"name":null,"tags":[]}"#]
        {
            assert_eq!(read(none, "").unwrap().0, Vec::<String>::new(), "{none}");
        }
    }

    #[test]
    fn a_page_that_ends_early_or_says_two_things_is_refused() {
        let whole = r#"{"name":"x","tags":["a","b"]}"#;
        for end in 0..whole.len() {
            assert!(read(&whole[..end], "").is_err(), "{}", &whole[..end]);
        }
        let long = format!(r#"{{"tags":["{}"]}}"#, "x".repeat(1000));
        for bad in [
            "{}",
            "[]",
            "null",
            r#"{"name":"x"}"#,
            r#"{"tags":["a"],"tags":["b"]}"#,
            r#"{"tags":["a"],"\u0074ags":["b"]}"#,
            r#"{"tags":"a"}"#,
            r#"{"tags":[1]}"#,
            r#"{"tags":["a",]}"#,
            r#"{"tags":["a" "b"]}"#,
            r#"{"tags":["a"],}"#,
            r#"{"tags":["a"]}{}"#,
            r#"{"tags":nul}"#,
            r#"{"tags":true}"#,
            r#"{tags:[]}"#,
            r#"{"tags":["\x"]}"#,
            "{\"tags\":[\"a\nb\"]}",
            "<html>",
            &long,
        ] {
            assert!(read(bad, "").is_err(), "{bad}");
        }
    }
}
