//! A transparency log that lies: it passes each request on to another server, and changes what that answers; or it answers
//! by itself. In plain HTTP/1.1 on 127.0.0.1, one request per connection, with a log of what was asked.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// An answer on its way: status, further header lines, body.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Further headers, each `Name: value`.
    pub headers: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// JSON with this status.
    pub fn json(status: u16, body: impl ToString) -> Reply {
        Reply { status, headers: Vec::new(), body: body.to_string().into_bytes() }
    }
}

type Change = Box<dyn Fn(&str, Reply) -> Reply + Send>;
type Asked = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// The server; its thread ends with the process.
pub struct LogServer {
    port: u16,
    asked: Asked,
    change: Arc<Mutex<Change>>,
}

impl LogServer {
    /// Stands before the server at `real` (`http://127.0.0.1:PORT`); without one every request is answered `404 {}`
    /// until `change` says otherwise.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start(real: Option<&str>) -> LogServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its port").port();
        let asked = Asked::default();
        let change: Arc<Mutex<Change>> = Arc::new(Mutex::new(Box::new(|_, reply| reply)));
        let (seen, changes) = (asked.clone(), change.clone());
        let real = real.map(|url| url.trim_start_matches("http://").to_owned());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, real.as_deref(), &seen, &changes);
            }
        });
        LogServer { port, asked, change }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on each answer goes through `change`, which is told the request's line (`POST /api/v1/log/entries`).
    pub fn change(&self, change: impl Fn(&str, Reply) -> Reply + Send + 'static) {
        *self.change.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(change);
    }

    /// The requests so far, as method and target; forgets them.
    pub fn asked(&self) -> Vec<String> {
        self.bodies().into_iter().map(|(line, _)| line).collect()
    }

    /// The requests so far with their bodies; forgets them.
    pub fn bodies(&self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads one message: its first line, its headers in lower case, its body.
fn message(stream: &TcpStream) -> std::io::Result<(String, Vec<String>, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut text = String::new();
        reader.read_line(&mut text).map(|_| text.trim_end().to_owned())
    };
    let first = line()?;
    let mut headers = Vec::new();
    loop {
        match line()? {
            end if end.is_empty() => break,
            header => headers.push(header),
        }
    }
    let value = |name: &str| {
        headers.iter().find_map(|header| {
            let (own, value) = header.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let mut body = Vec::new();
    if value("transfer-encoding").is_some() {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk)?;
            if size == 0 {
                break;
            }
            chunk.truncate(size);
            body.extend(chunk);
        }
    } else if let Some(length) = value("content-length") {
        let length: u64 = length.parse().unwrap_or(0);
        reader.take(length).read_to_end(&mut body)?;
    }
    Ok((first, headers, body))
}

fn serve(
    mut stream: TcpStream,
    real: Option<&str>,
    seen: &Mutex<Vec<(String, Vec<u8>)>>,
    changes: &Mutex<Change>,
) -> std::io::Result<()> {
    let (first, _, body) = message(&stream)?;
    let request = first.trim_end_matches(" HTTP/1.1").to_owned();
    if request.is_empty() {
        return Ok(());
    }
    seen.lock().unwrap_or_else(PoisonError::into_inner).push((request.clone(), body.clone()));
    let reply = match real {
        None => Reply::json(404, "{}"),
        Some(real) => {
            let mut upstream = TcpStream::connect(real)?;
            let head = format!(
                "{request} HTTP/1.1\r\nHost: {real}\r\nContent-Type: application/json\r\nAccept: application/json\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            upstream.write_all(&[head.as_bytes(), &body].concat())?;
            let (status, headers, body) = message(&upstream)?;
            let status = status.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(500);
            let headers = headers.into_iter().filter(|header| header.to_ascii_lowercase().starts_with("location:"));
            Reply { status, headers: headers.collect(), body }
        }
    };
    let reply = changes.lock().unwrap_or_else(PoisonError::into_inner)(&request, reply);
    let mut head = format!("HTTP/1.1 {} X\r\nContent-Type: application/json\r\n", reply.status);
    for header in &reply.headers {
        head.push_str(&format!("{header}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\nConnection: close\r\n\r\n", reply.body.len()));
    stream.write_all(&[head.as_bytes(), &reply.body].concat())
}
