use super::*;
use Compression::{Gzip, None as Identity, Zstd};

fn fresh() -> Steps {
    Steps::new(&"otlp".into(), Zstd)
}

fn naming(names: &'static str) -> MetadataMap {
    let mut answer = MetadataMap::new();
    answer.insert("grpc-accept-encoding", names.parse().unwrap());
    answer
}

fn silent() -> MetadataMap {
    MetadataMap::new()
}

fn internal() -> Status {
    Status::internal("what it is, nobody says")
}

fn ended() -> Status {
    Status::unavailable("the connection ended")
}

/// Whether what fails on this connection fails for another reason.
fn is_settled(steps: &Steps, connection: u64) -> bool {
    !steps.is_in_doubt(steps.known().unwrap(), connection, true, &internal())
}

#[tokio::test(start_paused = true)]
async fn a_step_holds_once_it_was_taken_and_the_top_is_tried_again_once_an_hour() {
    let mut steps = fresh();
    assert_eq!((steps.known(), steps.begin()), (None, Zstd));
    assert_eq!(steps.fail(Zstd, false, &internal()), Some(Gzip));
    steps.accept(Gzip, Some(1), &silent());
    assert_eq!(steps.known(), Some(Gzip));
    assert!(is_settled(&steps, 1) && !is_settled(&steps, 2));
    // Another connection: it may need less, and what holds is where it begins.
    assert_eq!(steps.begin(), Gzip);
    assert_eq!(steps.fail(Gzip, false, &internal()), Some(Identity));
    steps.accept(Identity, Some(2), &silent());
    assert_eq!(steps.known(), Some(Identity));
    tokio::time::advance(TRY_AGAIN_AFTER).await;
    assert!(steps.is_due());
    assert_eq!(steps.begin(), Zstd);
    // Whatever comes of it.
    assert!(!steps.is_due());
    assert_eq!(steps.known(), Some(Identity));
    tokio::time::advance(TRY_AGAIN_AFTER).await;
    assert_eq!(steps.begin(), Zstd);
    steps.accept(Zstd, Some(2), &silent());
    tokio::time::advance(TRY_AGAIN_AFTER).await;
    assert!(!steps.is_due(), "there is nothing above it");
}

#[test]
fn what_fails_at_each_step_leaves_all_as_it_was() {
    let mut steps = fresh();
    for _ in 0..3 {
        assert_eq!(steps.begin(), Zstd);
        assert_eq!(steps.fail(Zstd, false, &internal()), Some(Gzip));
        assert_eq!(steps.fail(Gzip, false, &internal()), Some(Identity));
        assert_eq!(steps.fail(Identity, false, &internal()), None);
    }
    steps.accept(Zstd, Some(1), &silent());
    assert!(is_settled(&steps, 1) && steps.since.is_none());
    // The same below a step that holds.
    assert_eq!(steps.fail(Zstd, false, &internal()), Some(Gzip));
    steps.accept(Gzip, Some(1), &silent());
    assert_eq!(steps.fail(Gzip, false, &internal()), Some(Identity));
    assert_eq!(steps.fail(Identity, false, &internal()), None);
    assert_eq!(steps.known(), Some(Gzip));
}

#[test]
fn a_peer_that_restarts_is_no_reason_and_one_that_ends_twice_at_a_step_is() {
    let mut steps = fresh();
    // The same at once; then nobody is there to take it.
    assert_eq!(steps.fail(Zstd, true, &ended()), Some(Zstd));
    assert_eq!(steps.begin(), Zstd);
    steps.accept(Zstd, Some(2), &silent());
    // Long after it another one restarts, and never takes zstd.
    assert_eq!(steps.fail(Zstd, true, &ended()), Some(Zstd));
    assert_eq!(steps.begin(), Zstd);
    assert_eq!(steps.fail(Zstd, true, &ended()), Some(Gzip));
    // Nobody is there to take that.
    assert_eq!(steps.begin(), Gzip);
    steps.accept(Gzip, Some(4), &silent());
    assert_eq!(steps.known(), Some(Gzip));
}

#[test]
fn a_search_that_is_cut_short_goes_on_lower_the_second_time() {
    // The peer is slow to refuse, and `timeout` ends it.
    let mut steps = fresh();
    for _ in 0..2 {
        assert_eq!(steps.begin(), Zstd);
        assert_eq!(steps.fail(Zstd, false, &internal()), Some(Gzip));
    }
    assert_eq!((steps.begin(), steps.known()), (Gzip, None));
}

#[test]
fn a_message_that_comes_late_changes_nothing_and_the_first_on_a_connection_settles_it() {
    let mut steps = fresh();
    steps.accept(Zstd, Some(1), &silent());
    assert!(steps.is_in_doubt(Zstd, 1, false, &internal()));
    assert!(steps.is_in_doubt(Zstd, 2, true, &internal()));
    steps.confirm(Zstd, 2, &silent());
    assert!(!steps.is_in_doubt(Zstd, 2, true, &internal()));
    steps.accept(Gzip, Some(3), &silent());
    steps.confirm(Zstd, 2, &silent());
    assert_eq!(steps.known(), Some(Gzip));
    assert!(steps.is_in_doubt(Zstd, 3, true, &internal()));
    assert!(!steps.is_in_doubt(Identity, 9, true, &internal()));
}

#[tokio::test(start_paused = true)]
async fn what_the_peer_names_is_heeded_and_believed_once_an_hour_where_it_is_more() {
    let mut steps = fresh();
    let mut status = Status::unimplemented("");
    *status.metadata_mut() = naming("identity");
    assert_eq!(
        steps.fail(Zstd, false, &status),
        Some(Identity),
        "gzip is not tried"
    );
    steps.accept(Identity, Some(1), &naming("identity"));
    assert!(is_settled(&steps, 1));
    // It, or another one, knows more by now.
    steps.confirm(Identity, 2, &naming("identity, deflate, gzip,zstd"));
    assert_eq!(steps.known(), Some(Zstd));
    assert!(!is_settled(&steps, 2), "it has not shown it yet");
    // It does not.
    assert_eq!(steps.fail(Zstd, false, &internal()), Some(Gzip));
    steps.accept(Gzip, Some(2), &naming("zstd, gzip"));
    assert!(is_settled(&steps, 2));
    assert_eq!(steps.known(), Some(Gzip));
    // One behind it does not take that, and says so.
    assert!(steps.is_in_doubt(Gzip, 2, true, &status));
    // It took what it does not name: maybe it only passes it on.
    let mut steps = fresh();
    steps.accept(Zstd, Some(1), &naming("identity,deflate,gzip"));
    assert_eq!(steps.known(), Some(Gzip));
    assert!(!is_settled(&steps, 1));
}

#[test]
fn the_configured_compression_is_the_most() {
    let mut steps = Steps::new(&"otlp".into(), Gzip);
    steps.accept(Gzip, Some(1), &naming("zstd,gzip"));
    assert_eq!(steps.known(), Some(Gzip));
    assert_eq!(steps.fail(Gzip, false, &internal()), Some(Identity));
    assert_eq!(steps.fail(Identity, false, &internal()), None);
    let mut steps = Steps::new(&"otlp".into(), Identity);
    assert_eq!(steps.known(), Some(Identity), "nothing is to be found out");
    assert!(is_settled(&steps, 1));
    assert_eq!(steps.fail(Identity, false, &internal()), None);
}
