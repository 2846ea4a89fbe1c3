//! What a peer's answer means: OTLP's rules
//! ([OTLP/gRPC response](https://opentelemetry.io/docs/specs/otlp/#otlpgrpc-response)). Of its words no more is kept than
//! is logged.

use pipeline::opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use pipeline::telemetry::bounded;
use pipeline::{ExportError, with_causes};
use pipeline_grpc::MAX_ANSWER_BYTES;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// An accepted message: in full, or but for some points.
pub(crate) fn accepted(
    destination: &str,
    response: ExportMetricsServiceResponse,
) -> Result<(), ExportError> {
    match response.partial_success {
        Some(part) if part.rejected_data_points != 0 || !part.error_message.is_empty() => {
            Err(ExportError::Partial {
                rejected: u64::try_from(part.rejected_data_points).unwrap_or_default(),
                message: format!("{destination}: {}", bounded(&part.error_message)),
            })
        }
        _ => Ok(()),
    }
}

/// A message whose answer is too large to be read: it has arrived, and counts as accepted.
pub(crate) fn unread(destination: &str) -> Result<(), ExportError> {
    Err(ExportError::Partial {
        rejected: 0,
        message: format!(
            "{destination}: its answer has more than {MAX_ANSWER_BYTES} bytes and was not read"
        ),
    })
}

/// How gRPC's implementations say that a message is too large, and what stands before the limit: grpc-go and gRPC's
/// core, grpc-java, tonic. Their codes are none of OTLP's meaning: RESOURCE_EXHAUSTED and OUT_OF_RANGE.
const TOO_LARGE: [(&str, &[&str]); 4] = [
    ("larger than max", &["vs. ", "than max "]),
    ("exceeds maximum size", &["maximum size "]),
    ("message length too large", &["limit is: "]),
    ("while decompressing message", &["limit, of "]),
];

/// The limit in bytes, if the message was too large for the peer; 0 where it does not say what the limit is.
pub(crate) fn too_large(status: &Status) -> Option<usize> {
    if !matches!(status.code(), Code::ResourceExhausted | Code::OutOfRange) {
        return None;
    }
    let text = status.message();
    let (_, before) = TOO_LARGE.iter().find(|(said, _)| text.contains(said))?;
    let limit = before.iter().find_map(|before| {
        let (_, rest) = text.split_once(before)?;
        let digits = rest.split(|it: char| !it.is_ascii_digit()).next()?;
        digits.parse().ok()
    });
    Some(limit.unwrap_or_default())
}

/// A refused one: to be tried again by its code, which is UNAVAILABLE where the connection has failed; one that has
/// exhausted a resource only where the peer says when.
pub(crate) fn refused(destination: &str, status: &Status) -> ExportError {
    let after = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    let retryable = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::ResourceExhausted => after.is_some(),
        _ => false,
    };
    let source = format!("{destination}: {}", describe(status)).into();
    if retryable {
        ExportError::Retryable {
            source,
            after,
            left: None,
            rejected: 0,
        }
    } else {
        ExportError::Permanent { source }
    }
}

/// One that is not tried again, whatever its code is.
pub(crate) fn lost(destination: &str, status: &Status) -> ExportError {
    ExportError::permanent(format!("{destination}: {}", describe(status)))
}

/// What a port says that is not for OTLP over gRPC, and the mend.
const MISTAKEN: [&str; 3] = [
    "the peer speaks HTTP/1",
    "the peer speaks neither HTTP/2",
    "which is no gRPC",
];

/// The code, the message, and the causes below it that say more, as far as they are logged.
pub(crate) fn describe(status: &Status) -> String {
    let code = format!("{:?}", status.code());
    let text = if status.message().is_empty() {
        code
    } else {
        format!("{code}: {}", status.message())
    };
    // tonic's word for each failure of a connection says nothing of its own.
    let text = with_causes(text, status).replace(": transport error", "");
    let text = bounded(&text);
    if MISTAKEN.iter().any(|said| text.contains(said)) {
        format!("{text}; OTLP over HTTP has the port 4318, over gRPC 4317")
    } else {
        text.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pipeline::opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsPartialSuccess;
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_message_that_is_too_large_is_known_by_what_is_said_of_it() {
        let large = |code, text: &str| too_large(&Status::new(code, text));
        for text in [
            "grpc: received message larger than max (5000000 vs. 1048576)",
            "grpc: message after decompression larger than max (5000000 vs. 1048576)",
            "grpc: received message after decompression larger than max 1048576",
            "gRPC message exceeds maximum size 1048576: 5000000",
            "Error, decoded message length too large: found 5000000 bytes, the limit is: 1048576 bytes",
            "Error decompressing: size limit, of 1048576 bytes, exceeded while decompressing message",
        ] {
            assert_eq!(
                large(Code::ResourceExhausted, text),
                Some(1_048_576),
                "{text}"
            );
            assert_eq!(large(Code::OutOfRange, text), Some(1_048_576), "{text}");
            assert_eq!(large(Code::Unavailable, text), None);
        }
        let unstated = "Received message larger than max";
        assert_eq!(large(Code::ResourceExhausted, unstated), Some(0));
        assert_eq!(large(Code::ResourceExhausted, "slow down"), None);
    }

    #[test]
    fn of_its_words_no_more_is_kept_than_is_logged() {
        let words = "é".repeat(1_000_000);
        let ExportError::Permanent { source } = refused("", &Status::invalid_argument(&words))
        else {
            panic!("it is not retried");
        };
        let refusal = source.to_string();
        assert!(refusal.len() < 1_010 && refusal.ends_with('…'));
        let part = ExportMetricsPartialSuccess {
            rejected_data_points: 1,
            error_message: words,
        };
        let answer = ExportMetricsServiceResponse {
            partial_success: Some(part),
        };
        let Err(ExportError::Partial { message, .. }) = accepted("", answer) else {
            panic!("a part was rejected");
        };
        assert!(message.capacity() < 4_096 && message.ends_with('…'));
    }

    #[test]
    fn the_retryable_codes_are_otlps() {
        let retried = |code| {
            matches!(
                refused("", &Status::new(code, "")),
                ExportError::Retryable { .. }
            )
        };
        let all = (0..17)
            .map(Code::from)
            .filter(|code| retried(*code))
            .collect::<Vec<_>>();
        assert_eq!(
            all,
            [
                Code::Cancelled,
                Code::DeadlineExceeded,
                Code::Aborted,
                Code::OutOfRange,
                Code::Unavailable,
                Code::DataLoss
            ]
        );
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(7)));
        let slow_down = Status::with_error_details(Code::ResourceExhausted, "slow down", details);
        assert!(
            matches!(refused("", &slow_down), ExportError::Retryable { after: Some(after), .. } if after.as_secs() == 7)
        );
    }
}
