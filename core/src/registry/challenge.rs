//! `WWW-Authenticate`: what a registry asks for before it answers (RFC 9110 §11, distribution's token specification).
//!
//! The header is written by a stranger. It is read by a small state machine that gives up rather than guesses.

/// One challenge: a scheme and its parameters, names in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// `basic` or `bearer`, lower case.
    pub scheme: String,
    /// Parameters in the order of the header.
    pub params: Vec<(String, String)>,
}

impl Challenge {
    /// The value of a parameter; the first one when it is repeated.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

const MAX_PARAMS: usize = 32;

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

struct Scanner<'a>(std::iter::Peekable<std::str::Chars<'a>>);

impl Scanner<'_> {
    fn skip(&mut self, these: &str) {
        while self.0.next_if(|c| these.contains(*c)).is_some() {}
    }

    fn token(&mut self) -> Option<String> {
        let mut out = String::new();
        while let Some(c) = self.0.next_if(|c| is_token(*c)) {
            out.push(c);
        }
        (!out.is_empty()).then_some(out)
    }

    fn value(&mut self) -> Option<String> {
        if self.0.next_if_eq(&'"').is_none() {
            // Unquoted values of real registries hold URLs too, so everything up to a separator is taken.
            let mut out = String::new();
            while let Some(c) = self.0.next_if(|c| *c != ',' && !c.is_whitespace() && *c != '"') {
                out.push(c);
            }
            return Some(out);
        }
        let mut out = String::new();
        loop {
            match self.0.next()? {
                '"' => return Some(out),
                '\\' => out.push(self.0.next()?),
                c => out.push(c),
            }
        }
    }
}

/// The challenges of one header value; `None` when it is not well-formed.
pub fn parse(header: &str) -> Option<Vec<Challenge>> {
    let mut scanner = Scanner(header.chars().peekable());
    let mut found: Vec<Challenge> = Vec::new();
    let mut params = 0;
    loop {
        scanner.skip(", \t");
        if scanner.0.peek().is_none() {
            return Some(found);
        }
        let word = scanner.token()?.to_ascii_lowercase();
        if scanner.0.peek() == Some(&'=') {
            scanner.0.next();
            params += 1;
            if params > MAX_PARAMS {
                return None;
            }
            let value = scanner.value()?;
            found.last_mut()?.params.push((word, value));
        } else {
            found.push(Challenge { scheme: word, params: Vec::new() });
            if found.len() > MAX_PARAMS {
                return None;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_registries_send() {
        let found =
            parse(r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#)
                .unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].scheme, "bearer");
        assert_eq!(found[0].get("realm"), Some("https://auth.docker.io/token"));
        assert_eq!(found[0].get("scope"), Some("repository:a/b:pull,push"));
        let found = parse(r#"Basic realm="x, y", Bearer realm=https://a.test/t , service=s"#).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].get("realm"), Some("x, y"));
        assert_eq!(found[1].get("realm"), Some("https://a.test/t"));
        assert_eq!(found[1].get("service"), Some("s"));
        assert_eq!(parse("Basic").unwrap()[0].scheme, "basic");
        assert_eq!(parse(r#"BEARER REALM="a\"b""#).unwrap()[0].get("realm"), Some("a\"b"));
    }

    #[test]
    fn gives_up_on_garbage() {
        for bad in [r#"Bearer realm="open"#, "realm=x", "Bearer \u{1}", "Bearer =", r#"Basic realm="\"#] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
        let many = format!("Bearer {}", "a=b,".repeat(1000));
        assert_eq!(parse(&many), None);
        assert_eq!(parse("").unwrap(), vec![]);
    }
}
