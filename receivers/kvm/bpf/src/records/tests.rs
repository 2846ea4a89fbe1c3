use super::*;

pub(crate) const SIZES: Sizes = Sizes { vm: 16, vcpu: 24 };

/// A record as the program writes it.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) vm: u64,
    pub(crate) vcpu: Option<u32>,
    pub(crate) holder: Holder,
    pub(crate) name: String,
    pub(crate) debugfs: String,
    pub(crate) value: u64,
    pub(crate) failed: u64,
}

impl Written {
    pub(crate) fn new(vm: u64, vcpu: Option<u32>, start: u64) -> Self {
        let pid = u32::try_from(start).unwrap();
        Self {
            vm,
            vcpu,
            holder: Holder { start, pid, fd: 7 },
            name: vcpu.map_or(VM_NAME.to_owned(), |vcpu| format!("{VCPU_NAME}{vcpu}")),
            debugfs: "55-11".to_owned(),
            value: start,
            failed: 0,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (kind, size) = if self.vcpu.is_some() {
            (KIND_VCPU, SIZES.vcpu)
        } else {
            (KIND_VM, SIZES.vm)
        };
        let mut bytes = [VERSION.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(u32::try_from(size).unwrap().to_ne_bytes());
        bytes.extend([self.holder.start, self.vm].map(u64::to_ne_bytes).concat());
        let words = [
            self.holder.pid,
            self.holder.fd,
            self.vcpu.unwrap_or_default(),
            55,
        ];
        bytes.extend(words.map(u32::to_ne_bytes).concat());
        for (text, length) in [(&self.debugfs, 24), (&self.name, 16)] {
            let mut field = text.clone().into_bytes();
            field.resize(length, 0);
            bytes.extend(field);
        }
        bytes.extend(self.value.to_ne_bytes().repeat(size / 8));
        bytes.extend(self.failed.to_ne_bytes());
        bytes
    }
}

#[test]
fn a_record_is_read_once_it_is_whole() {
    let bytes = Written::new(3, Some(12), 5).bytes();
    for end in 0..bytes.len() {
        assert!(parse(&bytes[..end], SIZES).unwrap().is_none());
    }
    let record = parse(&bytes, SIZES).unwrap().unwrap();
    let head = record.head.unwrap();
    assert_eq!((head.vm, head.vcpu, head.creator), (3, Some(12), 55));
    assert_eq!(
        head.holder,
        Holder {
            start: 5,
            pid: 5,
            fd: 7
        }
    );
    assert_eq!(text(&head.debugfs), "55-11");
    assert_eq!(record.values.unwrap(), 5_u64.to_ne_bytes().repeat(3));
    assert_eq!(record.length, bytes.len());
}

#[test]
fn what_the_kernel_could_not_read_is_absent() {
    let parts = |failed| {
        let bytes = Written {
            failed,
            ..Written::new(3, None, 5)
        }
        .bytes();
        let record = parse(&bytes, SIZES).unwrap().unwrap();
        (record.head.is_some(), record.values.is_some())
    };
    assert_eq!(parts(0), (true, true));
    assert_eq!(parts(FAILED_VALUES), (true, false));
    assert_eq!(parts(FAILED_HEADER), (false, true));
}

#[test]
fn a_number_or_a_maker_that_is_known_otherwise_is_a_contradiction() {
    let error = |written: Written| parse(&written.bytes(), SIZES).unwrap_err().to_string();
    let vcpu = Written::new(3, Some(2), 5);
    let number = error(Written {
        name: "kvm-vcpu:7".to_owned(),
        ..vcpu.clone()
    });
    assert!(
        number.ends_with(r#""kvm-vcpu:7" reads as vCPU 2"#),
        "{number}"
    );
    let maker = error(Written {
        debugfs: "56-11".to_owned(),
        ..vcpu.clone()
    });
    assert!(
        maker.ends_with(r#""56-11" reads as a VM made by thread 55"#),
        "{maker}"
    );
    let without_debugfs = Written {
        debugfs: String::new(),
        ..vcpu
    };
    assert!(
        parse(&without_debugfs.bytes(), SIZES)
            .unwrap()
            .unwrap()
            .head
            .is_some()
    );
}

#[test]
fn no_change_of_the_input_panics() {
    let bytes = Written::new(3, Some(2), 5).bytes();
    let mut random = fastrand::Rng::with_seed(16);
    for _ in 0..20_000 {
        let mut bytes = bytes.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        if let Ok(Some(record)) = parse(&bytes, SIZES) {
            assert!(record.length <= bytes.len());
        }
    }
}
