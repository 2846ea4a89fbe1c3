use super::*;

/// What the catalog says of a metric of these words.
fn entry(r#type: &str, unit: &str) -> CatalogEntry {
    let text = format!(
        "{{version: 1, families: [{{id: a, match: [kvm/NAME], metrics: [{{name: x, type: {type}, unit: '{unit}'}}]}}]}}"
    );
    crate::catalog::one(&text)
}

fn kernel(kind: Option<Kind>, unit: Option<&str>, is_amount: bool) -> KernelType {
    KernelType {
        kind,
        is_amount,
        unit: unit.map(Arc::from),
        scale: None,
        is_converted: false,
    }
}

#[test]
fn a_catalog_may_say_whether_amounts_can_be_added_up_and_what_is_counted() {
    let amount = kernel(Some(Kind::UP_DOWN_COUNTER), None, true);
    let pages = entry("gauge", "{page}");
    assert_eq!(amount.kind(Some(&pages)), Some(Kind::Gauge));
    assert_eq!(amount.unit(Some(&pages)), None, "the catalog's");
    assert_eq!(amount.kind(None), Some(Kind::UP_DOWN_COUNTER));
    let peak = kernel(Some(Kind::Gauge), None, false);
    assert_eq!(
        peak.kind(Some(&entry("updown", "{page}"))),
        Some(Kind::Gauge)
    );
}

#[test]
fn what_contradicts_the_kernel_does_not_hold() {
    let amount = kernel(Some(Kind::UP_DOWN_COUNTER), None, true);
    let counter = entry("counter", "ns");
    assert!(!amount.agrees_in_kind(&counter) && !amount.agrees_in_unit(&counter));
    assert_eq!(amount.kind(Some(&counter)), Some(Kind::UP_DOWN_COUNTER));
    assert_eq!(amount.unit(Some(&counter)).as_deref(), Some(""));
    let time = kernel(Some(Kind::COUNTER), Some("us"), false);
    assert!(time.agrees_in_kind(&counter) && !time.agrees_in_unit(&counter));
    assert_eq!(time.unit(Some(&counter)).as_deref(), Some("us"));
    let no_number = entry("config", "1");
    assert!(!time.agrees_in_kind(&no_number));
    assert_eq!(
        (time.words(), words_of(&no_number)),
        ("counter us".into(), "no number to export".into())
    );
}

#[test]
fn a_value_that_was_converted_may_be_in_another_multiple() {
    let seconds = KernelType {
        is_converted: true,
        ..kernel(Some(Kind::COUNTER), Some("s"), false)
    };
    assert!(seconds.agrees_in_unit(&entry("counter", "ns")));
    assert!(!seconds.agrees_in_unit(&entry("counter", "KiBy")));
    assert!(
        seconds.agrees_in_unit(&entry("counter", "")),
        "it says nothing"
    );
}
