//! How much of a peer's answer is taken: more than a service of ours ever has to say.

use tonic::{Code, Status};

/// Bytes of an answer, before and after decompression. It is no round number, so that a peer that has a limit of its own
/// does not say the same of a request.
pub const MAX_ANSWER_BYTES: usize = (1 << 20) - 1;

/// Bytes of an answer's headers, and of its trailers.
pub const MAX_HEADER_BYTES: u32 = 64 << 10;

/// Whether the answer was larger than [`MAX_ANSWER_BYTES`], which tonic says as a peer would say it of a request. The
/// request has arrived then.
#[must_use]
pub fn is_answer_too_large(status: &Status) -> bool {
    let text = match status.code() {
        Code::OutOfRange => "message length too large",
        Code::ResourceExhausted => "while decompressing message",
        _ => return false,
    };
    let message = status.message();
    message.contains(text) && message.contains(&format!(" {MAX_ANSWER_BYTES} bytes"))
}
