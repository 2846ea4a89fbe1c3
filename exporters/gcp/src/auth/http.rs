//! Answers by HTTP. What google-cloud-auth asks for by itself it keeps whole, however long it is, and its client cannot be
//! given to it: so what this program can ask for, it does.

use reqwest::{Response, StatusCode};

/// Bytes of an answer. A token has some 1,000, all else less than 100.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum HttpError {
    /// There may be one later.
    Unavailable(String),
    /// The server takes the request for a mistake: there is nothing of this name, or for this account.
    Refused(StatusCode, String),
    /// It is none of this server's.
    Unexpected(String),
}

/// The text of an answer, without blanks around it.
pub(crate) async fn text_of(response: reqwest::Result<Response>) -> Result<String, HttpError> {
    let unavailable = |error: reqwest::Error| {
        HttpError::Unavailable(pipeline::with_causes(error.to_string(), &error))
    };
    let mut response = response.map_err(unavailable)?;
    let status = response.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(HttpError::Unavailable(format!("it answers {status}")));
    }
    if !status.is_success() && !status.is_client_error() {
        return Err(HttpError::Unexpected(format!("it answers {status}")));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            let error = format!("its answer has more than {MAX_ANSWER_BYTES} bytes");
            return Err(HttpError::Unexpected(error));
        }
        body.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(body)
        .map_err(|_| HttpError::Unexpected("its answer is no text".into()))?;
    let text = text.trim().to_owned();
    if status.is_success() {
        Ok(text)
    } else {
        Err(HttpError::Refused(status, text))
    }
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HttpError::Unavailable(why) | HttpError::Unexpected(why) => f.write_str(why),
            HttpError::Refused(status, text) => write!(f, "it answers {status}: {text}"),
        }
    }
}
