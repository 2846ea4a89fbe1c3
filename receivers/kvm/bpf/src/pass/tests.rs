use super::*;
use crate::records::parse;
use crate::records::tests::{SIZES, Written};

const LIMITS: Limits = Limits { vms: 2, vcpus: 3 };

fn pass(written: &[Written]) -> Pass {
    let mut pass = Pass::default();
    for written in written {
        let bytes = written.bytes();
        pass.insert(&parse(&bytes, SIZES).unwrap().unwrap(), LIMITS);
    }
    pass.prove();
    pass
}

fn seen(pass: &Pass) -> Vec<(u64, Option<u32>, u32)> {
    pass.records()
        .map(|record| (record.vm.0, record.vcpu, record.pid))
        .collect()
}

#[test]
fn each_vm_and_vcpu_comes_once_with_the_process_that_started_first() {
    let fork = |start| {
        [
            Written::new(9, None, start),
            Written::new(9, Some(0), start),
        ]
    };
    let pass = pass(&[fork(20), fork(10), fork(10), fork(30)].concat());
    assert_eq!(seen(&pass), [(9, None, 10), (9, Some(0), 10)]);
    assert_eq!(pass.duplicates, 6);
    assert_eq!(
        pass.records()
            .map(|record| record.values.unwrap().bytes().len())
            .sum::<usize>(),
        40
    );
}

#[test]
fn a_vm_comes_before_its_vcpus_and_these_by_their_numbers() {
    let order = [
        (5, Some(1)),
        (3, Some(2)),
        (5, None),
        (3, Some(0)),
        (3, None),
    ];
    let pass = pass(&order.map(|(vm, vcpu)| Written::new(vm, vcpu, 1)));
    assert_eq!(
        pass.records()
            .map(|record| (record.vm.0, record.vcpu))
            .collect::<Vec<_>>(),
        [
            (3, None),
            (3, Some(0)),
            (3, Some(2)),
            (5, None),
            (5, Some(1))
        ]
    );
}

#[test]
fn nothing_goes_out_before_a_vcpu_has_led_to_its_vm() {
    let mut pass = pass(&[Written::new(3, Some(0), 1), Written::new(4, None, 1)]);
    assert_eq!(seen(&pass), []);
    let bytes = Written::new(3, None, 1).bytes();
    pass.insert(&parse(&bytes, SIZES).unwrap().unwrap(), LIMITS);
    pass.prove();
    assert_eq!(seen(&pass).len(), 3);
}

#[test]
fn vcpus_that_lead_nowhere_withhold_all_that_was_seen() {
    let vm = Written::new(3, None, 1);
    assert!(!pass(std::slice::from_ref(&vm)).is_withheld());
    assert!(pass(&[Written::new(3, Some(0), 1)]).is_withheld());
    let unreadable = Written {
        failed: 2,
        ..Written::new(3, Some(0), 1)
    };
    let pass = pass(&[vm, unreadable]);
    assert!(pass.is_withheld() && seen(&pass).is_empty());
}

#[test]
fn what_is_beyond_the_limits_is_counted_and_displaces_nothing() {
    let mut written = vec![Written::new(3, None, 1)];
    written.extend((0..5).map(|vcpu| Written::new(3, Some(vcpu), 1)));
    written.extend([4, 5].map(|vm| Written::new(vm, None, 1)));
    let pass = pass(&written);
    assert_eq!((seen(&pass).len(), pass.over_limit), (5, 3));
}

#[test]
fn values_that_could_not_be_read_are_absent_and_the_others_stay() {
    let pass = pass(&[
        Written {
            failed: 1,
            ..Written::new(3, None, 1)
        },
        Written::new(3, Some(0), 8),
    ]);
    let hist = Statistic {
        name: "hist".to_owned(),
        offset: 8,
        values: 2,
    };
    let values: Vec<_> = pass
        .records()
        .map(|it| it.values.map(|it| it.of(&hist).collect::<Vec<_>>()))
        .collect();
    assert_eq!(values, [None, Some(vec![8, 8])]);
    let outside = Statistic { values: 3, ..hist };
    let vcpu = pass.records().nth(1).unwrap();
    assert_eq!(vcpu.values.unwrap().of(&outside).count(), 0);
}

#[test]
fn a_pass_forgets_the_one_before_but_not_its_proof() {
    let mut pass = pass(&[Written::new(3, None, 1), Written::new(3, Some(0), 1)]);
    pass.clear();
    assert_eq!(seen(&pass), []);
    let bytes = Written::new(4, Some(0), 1).bytes();
    pass.insert(&parse(&bytes, SIZES).unwrap().unwrap(), LIMITS);
    pass.prove();
    assert_eq!(seen(&pass), [(4, Some(0), 1)]);
}

#[test]
fn what_was_refuted_gives_no_records_any_more() {
    let mut pass = pass(&[Written::new(3, None, 1), Written::new(3, Some(0), 1)]);
    let key = pass.records().next().unwrap().vm;
    assert_eq!(pass.get(key, Some(0)).unwrap().vcpu, Some(0));
    assert!(pass.get(key, Some(1)).is_none());
    pass.refute();
    pass.prove();
    assert!(pass.records().next().is_none() && pass.get(key, Some(0)).is_none());
}

#[test]
fn what_is_there_again_is_as_this_pass_sees_it() {
    let mut pass = pass(&[Written::new(3, None, 1), Written::new(3, Some(0), 1)]);
    let key = pass.records().next().unwrap().vm;
    pass.clear();
    assert!(pass.get(key, Some(0)).is_none(), "it was not seen yet");
    // The descriptor is another process's by now.
    let bytes = Written::new(3, Some(0), 20).bytes();
    pass.insert(&parse(&bytes, SIZES).unwrap().unwrap(), LIMITS);
    pass.prove();
    assert_eq!(seen(&pass), [(3, Some(0), 20)]);
}
