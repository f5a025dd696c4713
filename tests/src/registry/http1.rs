//! HTTP/1.1 on a bare socket, since a library would not let us send half an answer.

use std::collections::BTreeMap;
use std::future::pending;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::answer::Answer;
use super::faults::{End, Fault, How};
use super::log::Seen;
use super::serve::{After, Shared};

/// The most bytes of a line of a request's head.
const LINE: usize = 1 << 16;

/// A connection whose socket can be reached below its encryption.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Answers every request of a connection.
pub(super) async fn connection(shared: Arc<Shared>, wire: impl Wire, number: u64) {
    let mut wire = BufReader::new(wire);
    loop {
        match exchange(&shared, &mut wire, number).await {
            Ok(After::KeepAlive) => {}
            Ok(After::End(end)) => return finish(wire.into_inner(), end).await,
            Err(error) => {
                if error.kind() == ErrorKind::InvalidData {
                    let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                    let _ = wire.write_all(answer).await;
                }
                return;
            }
        }
    }
}

async fn exchange(shared: &Shared, wire: &mut BufReader<impl Wire>, number: u64) -> Result<After> {
    let mut seen = read_head(wire).await?;
    seen.connection = number;
    let fault = shared.arrive(&mut seen);
    if matches!(fault, Some(Fault::ResetUnread)) {
        return Ok(After::End(End::Reset));
    }
    seen.body = read_body(wire, &seen).await?;
    let is_head = seen.method == "HEAD";
    let last = seen.headers.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let (answer, how) = shared.answer(seen, fault).await;
    match send(wire, answer, how, is_head).await? {
        After::KeepAlive if last => Ok(After::End(End::Close)),
        after => Ok(after),
    }
}

/// Ends a connection in one of three ways.
async fn finish(mut wire: impl Wire, end: End) {
    let _ = wire.flush().await;
    match end {
        End::Close => {}
        End::Stall => pending().await,
        End::Reset => {
            drained(wire.tcp()).await;
            let _ = wire.tcp().set_zero_linger();
        }
    }
}

/// Waits until the peer has received what was sent: a reset throws away what is still on its way.
async fn drained(socket: &TcpStream) {
    for _ in 0..1000 {
        let mut unsent: libc::c_int = 0;
        // SAFETY: the descriptor is open while `socket` lives, and TIOCOUTQ writes one int.
        let outcome = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &mut unsent) };
        if outcome != 0 || unsent == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn bad() -> Error {
    ErrorKind::InvalidData.into()
}

async fn read_line(stream: &mut (impl AsyncRead + Unpin)) -> Result<String> {
    let mut line = Vec::new();
    loop {
        let byte = stream.read_u8().await?;
        if byte == b'\n' {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return String::from_utf8(line).map_err(|_| bad());
        }
        line.push(byte);
        // The first byte of a TLS greeting is 22; nothing that begins so is HTTP.
        if line.len() > LINE || line.first() == Some(&22) {
            return Err(bad());
        }
    }
}

async fn read_head(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<Seen> {
    let line = read_line(stream).await?;
    let mut words = line.split(' ');
    let (method, target) = (words.next().ok_or_else(bad)?.to_owned(), words.next().ok_or_else(bad)?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let line = read_line(stream).await?;
        if line.is_empty() {
            return Ok(Seen { method, target, headers, ..Seen::default() });
        }
        let (name, value) = line.split_once(':').ok_or_else(bad)?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

async fn read_body(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), seen: &Seen) -> Result<Vec<u8>> {
    let says = |name: &str, what: &str| seen.headers.get(name).is_some_and(|value| value.eq_ignore_ascii_case(what));
    if says("expect", "100-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        stream.flush().await?;
    }
    let mut body = Vec::new();
    if says("transfer-encoding", "chunked") {
        loop {
            let line = read_line(stream).await?;
            let size = line.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size.trim(), 16).map_err(|_| bad())?;
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk).await?;
            read_line(stream).await?;
            body.extend_from_slice(&chunk);
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = seen.headers.get("content-length") {
        body = vec![0; length.parse().map_err(|_| bad())?];
        stream.read_exact(&mut body).await?;
    }
    Ok(body)
}

fn head(answer: &Answer, framing: &str) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {} X\r\n{framing}\r\n", answer.status);
    for (name, value) in &answer.headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    out.push_str("\r\n");
    out.into_bytes()
}

async fn send(wire: &mut (impl AsyncWrite + Unpin), answer: Answer, how: How, is_head: bool) -> Result<After> {
    let length = head(&answer, &format!("Content-Length: {}", answer.body.len()));
    let chunked = || head(&answer, "Transfer-Encoding: chunked");
    let body: &[u8] = if is_head { &[] } else { &answer.body };
    let after = match how {
        How::Nothing(end) => After::End(end),
        How::Whole | How::CloseAfter => {
            wire.write_all(&[&length, body].concat()).await?;
            if how == How::Whole { After::KeepAlive } else { After::End(End::Close) }
        }
        How::Trailing(bytes) => {
            wire.write_all(&[&length, body, bytes.as_bytes()].concat()).await?;
            After::KeepAlive
        }
        How::CutAll(at, end) => {
            let whole = [&length, body].concat();
            wire.write_all(&whole[..at.min(whole.len())]).await?;
            After::End(end)
        }
        How::CutBody(at, end) => {
            wire.write_all(&[&length, &body[..at.min(body.len())]].concat()).await?;
            After::End(end)
        }
        How::OverLong(extra) => {
            wire.write_all(&chunked()).await?;
            wire.write_all(format!("{:x}\r\n", body.len() + extra).as_bytes()).await?;
            wire.write_all(body).await?;
            wire.write_all(&vec![b' '; extra]).await?;
            wire.write_all(b"\r\n0\r\n\r\n").await?;
            After::KeepAlive
        }
        How::Endless => {
            wire.write_all(&chunked()).await?;
            let chunk = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
            loop {
                wire.write_all(&chunk).await?;
            }
        }
    };
    wire.flush().await?;
    Ok(after)
}
