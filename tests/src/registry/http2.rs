//! HTTP/2 below TLS. Here a reset is a reset of the stream, so that its neighbours live on; a close ends the connection.

use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use tokio::sync::Notify;

use super::answer::Answer;
use super::faults::{End, Fault, How};
use super::http1::Wire;
use super::log::Seen;
use super::serve::Shared;

/// How long the frames written last have to reach the socket before a connection is dropped.
const FLUSH: Duration = Duration::from_millis(20);

/// Answers every request of a connection.
pub(super) async fn connection(shared: Arc<Shared>, wire: impl Wire, number: u64) {
    let Ok(mut connection) = h2::server::handshake(wire).await else { return };
    let end = Arc::new(Notify::new());
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                let (shared, end) = (shared.clone(), end.clone());
                tokio::spawn(async move {
                    // A client that gives up is no error of ours.
                    let _ = stream(&shared, request, respond, number, &end).await;
                });
            }
            () = end.notified() => {
                let _ = tokio::time::timeout(FLUSH, connection.accept()).await;
                return;
            }
        }
    }
}

async fn stream(
    shared: &Shared,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    number: u64,
    end: &Notify,
) -> Result<(), h2::Error> {
    let (parts, mut incoming) = request.into_parts();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut headers: BTreeMap<String, String> =
        parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    if let Some(authority) = parts.uri.authority() {
        headers.insert("host".to_owned(), authority.to_string());
    }
    let target = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let method = parts.method.as_str().to_owned();
    let is_head = method == "HEAD";
    let mut seen = Seen { method, target, headers, connection: number, http2: true, ..Seen::default() };
    let fault = shared.arrive(&mut seen);
    if matches!(fault, Some(Fault::ResetUnread)) {
        respond.send_reset(Reason::INTERNAL_ERROR);
        return Ok(());
    }
    while let Some(data) = incoming.data().await {
        let data = data?;
        incoming.flow_control().release_capacity(data.len())?;
        seen.body.extend_from_slice(&data);
    }
    let (answer, how) = shared.answer(seen, fault).await;
    send(respond, answer, how, is_head, end).await
}

async fn send(
    mut respond: SendResponse<Bytes>,
    answer: Answer,
    how: How,
    is_head: bool,
    end: &Notify,
) -> Result<(), h2::Error> {
    if let How::Nothing(how) = how {
        return match how {
            End::Stall => pending().await,
            End::Close => {
                end.notify_one();
                pending().await
            }
            End::Reset => {
                respond.send_reset(Reason::INTERNAL_ERROR);
                Ok(())
            }
        };
    }
    let mut builder = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        builder = builder.header(name, value);
    }
    if !matches!(how, How::OverLong(_) | How::Endless) {
        builder = builder.header("content-length", answer.body.len());
    }
    let Ok(head) = builder.body(()) else {
        // A test asked for a header that HTTP/2 cannot carry.
        respond.send_reset(Reason::PROTOCOL_ERROR);
        return Ok(());
    };
    let body: Bytes = if is_head { Bytes::new() } else { answer.body.into() };
    let empty = body.is_empty() && matches!(how, How::Whole | How::Trailing(_));
    let mut stream = respond.send_response(head, empty)?;
    if empty {
        return Ok(());
    }
    match how {
        How::CutAll(at, how) | How::CutBody(at, how) => {
            let part = body.slice(..at.min(body.len()));
            write(&mut stream, part, false).await?;
            match how {
                End::Stall => pending().await,
                End::Reset => {
                    // The frames above must not be thrown away with the stream.
                    tokio::time::sleep(FLUSH).await;
                    stream.send_reset(Reason::INTERNAL_ERROR);
                    Ok(())
                }
                End::Close => {
                    end.notify_one();
                    pending().await
                }
            }
        }
        How::OverLong(extra) => {
            write(&mut stream, body, false).await?;
            write(&mut stream, vec![b' '; extra].into(), true).await
        }
        How::Endless => loop {
            write(&mut stream, vec![b' '; 0x4000].into(), false).await?;
        },
        How::CloseAfter => {
            write(&mut stream, body, true).await?;
            end.notify_one();
            pending().await
        }
        How::Whole | How::Trailing(_) | How::Nothing(_) => write(&mut stream, body, true).await,
    }
}

/// Sends within the window that the client grants.
async fn write(stream: &mut SendStream<Bytes>, mut bytes: Bytes, last: bool) -> Result<(), h2::Error> {
    if bytes.is_empty() && last {
        return stream.send_data(bytes, true);
    }
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        // A stream that is gone grants nothing, for ever.
        let Some(granted) = poll_fn(|context| stream.poll_capacity(context)).await else {
            return Err(Reason::CANCEL.into());
        };
        let part = bytes.split_to(granted?.min(bytes.len()));
        stream.send_data(part, last && bytes.is_empty())?;
    }
    Ok(())
}
