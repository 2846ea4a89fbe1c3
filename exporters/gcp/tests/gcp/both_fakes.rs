//! Runs a scenario against both fakes: the Rust fake in this runtime with a paused clock, and the Python fake, whose process
//! a paused clock cannot hold. With the Python fake, host and fake have clocks that are advanced, so that minutes pass at once.
//! Some scenarios need a paused clock and use the Rust fake only (`limits.rs`, `errors.rs`): ten thousand series for an hour, an
//! hour without the API, and responses that are slow, lost, or never come.

use std::time::Duration;

use gcp_fake::NextResponse;
use gcp_fake::python::{PYTHON_REQUIREMENT, PythonFake};
use serde_json::json;
use tokio::time::sleep;
use tonic::{Code, Status};

use crate::host::Host;
use pipeline::testing::lacks;

/// The fake that a scenario runs against.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Fake,
    Python,
}

/// Runs a scenario against each fake.
pub(crate) fn on_both(test: &str, scenario: impl AsyncFn(Side)) {
    let run = |side, is_paused| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(is_paused).build();
        runtime.unwrap().block_on(scenario(side));
    };
    run(Side::Fake, true);
    if PythonFake::start().is_some() {
        run(Side::Python, false);
    } else {
        lacks(test, PYTHON_REQUIREMENT);
    }
}

impl Host {
    pub(crate) async fn on(side: Side, yaml: &str) -> Host {
        let host = Host::new(yaml).await;
        match side {
            Side::Fake => host,
            Side::Python => {
                let python = PythonFake::start().expect("it was there a moment ago");
                python.control(&json!({"now": host.clock.now()}));
                host.with_python(python, yaml).await
            }
        }
    }

    /// Advances the time by this many seconds.
    pub(crate) async fn advance(&self, seconds: u32) {
        match &self.python {
            None => sleep(Duration::from_secs(seconds.into())).await,
            Some(python) => {
                self.clock.step(seconds.into());
                python.control(&json!({"advance": seconds}));
            }
        }
    }

    /// The next request fails with this code.
    pub(crate) fn fail(&self, code: Code) {
        match &self.python {
            None => self.fake.with(|it| {
                it.next_responses
                    .push_back(NextResponse::Fail(Status::new(code, "as the test has it")));
            }),
            Some(python) => drop(python.control(&json!({"fail": [name(code)]}))),
        }
    }

    /// Series with this label value are rejected, this many times.
    pub(crate) fn reject(&self, value: &str, code: Code, why: &str, times: u32) {
        if let Some(python) = &self.python {
            python.control(&json!({"reject": [value, name(code), why, times]}));
            return;
        }
        let (value, why, mut left) = (format!("\"{value}\""), why.to_owned(), times);
        self.fake.with(|it| {
            it.reject = Box::new(move |key| {
                let is_refused = key.contains(&value) && left > 0;
                left -= u32::from(is_refused);
                is_refused.then(|| (code, why.clone()))
            });
        });
    }

    /// The number of accepted points of each series.
    pub(crate) fn accepted_of_each(&self) -> Vec<u64> {
        match &self.python {
            None => self
                .fake
                .with(|it| it.series.values().map(|it| it.len() as u64).collect()),
            Some(python) => {
                let report = python.report();
                let points = report["points"].as_object().unwrap();
                // Sorted by name, as maps in JSON are.
                points.values().map(|it| it.as_u64().unwrap()).collect()
            }
        }
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted_of_each().iter().sum()
    }

    /// The number of series in each request, the largest first: concurrent requests have no order.
    pub(crate) fn requests(&self) -> Vec<usize> {
        let mut all: Vec<usize> = match &self.python {
            None => self.fake.with(|it| it.requests.clone()),
            Some(python) => serde_json::from_value(python.report()["requests"].take()).unwrap(),
        };
        all.sort_unstable_by(|a, b| b.cmp(a));
        all
    }

    /// The kind and the value type of each descriptor.
    pub(crate) fn kinds(&self) -> Vec<String> {
        match &self.python {
            None => self.fake.with(|it| {
                let kinds = it.descriptors.values().map(|it| {
                    let (kind, values) = (it.metric_kind(), it.value_type());
                    format!("{} {}", kind.as_str_name(), values.as_str_name())
                });
                kinds.collect()
            }),
            Some(python) => {
                let report = python.report();
                let kinds = report["kinds"].as_object().unwrap();
                kinds
                    .values()
                    .map(|it| it.as_str().unwrap().to_owned())
                    .collect()
            }
        }
    }

    /// Asserts that no rule was violated, and each point is accounted for.
    pub(crate) fn assert_no_violations(&self) {
        match &self.python {
            None => self.fake.assert_no_violations(),
            Some(python) => assert_eq!(python.report()["violations"], json!([])),
        }
        self.assert_accounted();
    }
}

/// `DEADLINE_EXCEEDED`.
fn name(code: Code) -> String {
    let spelled = format!("{code:?}");
    let words = spelled.char_indices().map(|(at, it)| {
        let gap = if at > 0 && it.is_ascii_uppercase() {
            "_"
        } else {
            ""
        };
        format!("{gap}{}", it.to_ascii_uppercase())
    });
    words.collect()
}
