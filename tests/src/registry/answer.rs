//! An answer before it goes over a wire.

#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn new(status: u16) -> Answer {
        Answer { status, ..Answer::default() }
    }

    pub fn error(status: u16, code: &str) -> Answer {
        Answer::error_saying(status, code, &code.to_ascii_lowercase().replace('_', " "))
    }

    pub fn error_saying(status: u16, code: &str, message: &str) -> Answer {
        Answer::json(status, &serde_json::json!({"errors": [{"code": code, "message": message}]}))
    }

    pub fn json(status: u16, value: &serde_json::Value) -> Answer {
        Answer::new(status).header("Content-Type", "application/json").body(value.to_string())
    }

    pub fn text(status: u16, text: &str) -> Answer {
        Answer::new(status).header("Content-Type", "text/plain").body(text)
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Answer {
        self.body = bytes.into();
        self
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.into()));
    }

    pub fn remove(&mut self, name: &str) {
        self.headers.retain(|(present, _)| !present.eq_ignore_ascii_case(name));
    }
}
