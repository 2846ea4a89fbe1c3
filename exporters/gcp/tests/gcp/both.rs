//! A host to either far side: the fake in this runtime, whose clock is paused, and Google's own package, which no paused
//! clock can hold. There the host and the far side live by clocks that are set on instead, so that minutes pass at once.
//! What only a paused clock can show stays with the first (`obeys.rs`, `errors.rs`): ten thousand series for an hour, an
//! hour without the API, and answers that are slow, lost, or never come.

use std::time::Duration;

use gcp_fake::Then;
use gcp_fake::google::{Google, NEEDS};
use serde_json::json;
use tokio::time::sleep;
use tonic::{Code, Status};

use crate::host::Host;
use crate::lacks::lacks;

/// Which far side.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Fake,
    Google,
}

/// The same to each of them.
pub(crate) fn on_both(test: &str, scenario: impl AsyncFn(Side)) {
    let run = |side, is_paused| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(is_paused).build();
        runtime.unwrap().block_on(scenario(side));
    };
    run(Side::Fake, true);
    if Google::start().is_some() {
        run(Side::Google, false);
    } else {
        lacks(test, NEEDS);
    }
}

impl Host {
    pub(crate) async fn on(side: Side, yaml: &str) -> Host {
        let host = Host::new(yaml).await;
        match side {
            Side::Fake => host,
            Side::Google => {
                let google = Google::start().expect("it was there a moment ago");
                google.told(&json!({"now": host.clock.now()}));
                host.to(google, yaml).await
            }
        }
    }

    /// So many seconds pass.
    pub(crate) async fn pass(&self, seconds: u32) {
        match &self.google {
            None => sleep(Duration::from_secs(seconds.into())).await,
            Some(google) => {
                self.clock.step(seconds.into());
                google.told(&json!({"pass": seconds}));
            }
        }
    }

    /// The next request is answered so.
    pub(crate) fn fail(&self, code: Code) {
        match &self.google {
            None => self
                .fake
                .with(|it| it.then.push_back(Then::Fail(Status::new(code, "as told")))),
            Some(google) => drop(google.told(&json!({"fail": [name(code)]}))),
        }
    }

    /// Series with this label value are refused, so many times.
    pub(crate) fn refuse(&self, value: &str, code: Code, why: &str, times: u32) {
        if let Some(google) = &self.google {
            google.told(&json!({"refuse": [value, name(code), why, times]}));
            return;
        }
        let (value, why, mut left) = (format!("\"{value}\""), why.to_owned(), times);
        self.fake.with(|it| {
            it.refuse = Box::new(move |key| {
                let is_refused = key.contains(&value) && left > 0;
                left -= u32::from(is_refused);
                is_refused.then(|| (code, why.clone()))
            });
        });
    }

    /// How many points each series has there.
    pub(crate) fn taken_of_each(&self) -> Vec<u64> {
        match &self.google {
            None => self
                .fake
                .with(|it| it.series.values().map(|it| it.len() as u64).collect()),
            Some(google) => {
                let took = google.took();
                let points = took["points"].as_object().unwrap();
                // By name: the maps of JSON are sorted.
                points.values().map(|it| it.as_u64().unwrap()).collect()
            }
        }
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken_of_each().iter().sum()
    }

    /// How many series each request had, the largest first: what goes at a time has no order.
    pub(crate) fn requests(&self) -> Vec<usize> {
        let mut all: Vec<usize> = match &self.google {
            None => self.fake.with(|it| it.requests.clone()),
            Some(google) => serde_json::from_value(google.took()["requests"].take()).unwrap(),
        };
        all.sort_unstable_by(|a, b| b.cmp(a));
        all
    }

    /// The kind and the type of values of each descriptor there.
    pub(crate) fn kinds(&self) -> Vec<String> {
        match &self.google {
            None => self.fake.with(|it| {
                let kinds = it.descriptors.values().map(|it| {
                    let (kind, values) = (it.metric_kind(), it.value_type());
                    format!("{} {}", kind.as_str_name(), values.as_str_name())
                });
                kinds.collect()
            }),
            Some(google) => {
                let took = google.took();
                let kinds = took["kinds"].as_object().unwrap();
                kinds
                    .values()
                    .map(|it| it.as_str().unwrap().to_owned())
                    .collect()
            }
        }
    }

    /// No rule was broken there, and each point is accounted for.
    pub(crate) fn assert_obeyed(&self) {
        match &self.google {
            None => self.fake.assert_obeyed(),
            Some(google) => assert_eq!(google.took()["broken"], json!([])),
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
