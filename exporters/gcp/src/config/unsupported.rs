//! Keys of the Collector's exporter that are unsupported. Each is refused with the reason, so that the user of such a
//! configuration learns what to do, not only that the key is unknown.

use serde::Deserializer;
use serde::de::Error;

macro_rules! unsupported {
    ($($key:ident: $why:literal)*) => {
        $(pub(crate) fn $key<'de, D: Deserializer<'de>>(_: D) -> Result<(), D::Error> {
            Err(D::Error::custom($why))
        })*
    };
}

unsupported! {
    authenticator: "there are no extensions here; credentials are found by Google's rules (`GOOGLE_APPLICATION_CREDENTIALS` first)"
    other_signal: "there are only metrics here"
    subject: "acting for a user of a domain is not supported; `target_principal` and `delegates` are"
    grpc_pool_size: "there is one connection, which carries all requests at a time; take the key out"
    universe_domain: "not supported; `endpoint` takes another address"
    descriptor_buffer: "no descriptor is dropped: one that cannot be created now is tried again, so that there is no buffer to size; take the key out"
    cumulative_normalization: "always on: the API refuses points without a start; take the key out"
    sum_of_squared_deviation: "no estimate is sent; take the key out"
    write_ahead_log: "what waits is in the queue (`sending_queue`), which is on disk where its `storage` names the extension `file_storage`"
}
