use super::{Btf, MAX_NAMES, Member, Named, Statistic, kind};

const U64: u32 = 1;

/// Types and strings of one file, which go on from those of the file below.
#[derive(Default)]
pub(crate) struct File {
    types: Vec<u32>,
    strings: Vec<u8>,
    strings_below: u32,
    last_id: u32,
}

impl File {
    pub(crate) fn kernel() -> Self {
        Self {
            strings: vec![0],
            ..Self::default()
        }
    }

    pub(crate) fn module(kernel: &Self) -> Self {
        let strings_below = u32::try_from(kernel.strings.len()).unwrap();
        Self {
            strings_below,
            last_id: kernel.last_id,
            ..Self::default()
        }
    }

    fn text(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.strings_below + u32::try_from(self.strings.len()).unwrap();
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        at
    }

    pub(crate) fn add(
        &mut self,
        name: &str,
        kind: u32,
        count: usize,
        operand: u32,
        tail: &[u32],
    ) -> u32 {
        let name = self.text(name);
        self.types
            .extend([name, kind << 24 | u32::try_from(count).unwrap(), operand]);
        self.types.extend(tail);
        self.last_id += 1;
        self.last_id
    }

    pub(crate) fn array(&mut self, of: u32, count: u32) -> u32 {
        self.add("", kind::ARRAY, 0, 0, &[of, U64, count])
    }

    /// Members by name, type, and offset in bytes.
    pub(crate) fn structure(
        &mut self,
        kind: u32,
        name: &str,
        size: u32,
        members: &[(&str, u32, u32)],
    ) -> u32 {
        let tail: Vec<u32> = members
            .iter()
            .flat_map(|(name, id, at)| [self.text(name), *id, at * 8])
            .collect();
        self.add(name, kind, members.len(), size, &tail)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.types.len() * 4).unwrap();
        let strings = u32::try_from(self.strings.len()).unwrap();
        let header = [0x0001_eb9f, 24, 0, length, length, strings];
        let words = header
            .iter()
            .chain(&self.types)
            .flat_map(|word| word.to_ne_bytes());
        words.chain(self.strings.iter().copied()).collect()
    }
}

/// `struct path { u64 mnt; u64 dentry; }`, `struct file { u64 lock; union { struct path f_path; }; }`
fn kernel() -> File {
    let mut file = File::kernel();
    assert_eq!(file.add("u64", kind::INT, 0, 8, &[64]), U64);
    let path = file.structure(
        kind::STRUCT,
        "path",
        16,
        &[("mnt", U64, 0), ("dentry", U64, 8)],
    );
    let union = file.structure(kind::UNION, "", 16, &[("f_path", path, 0)]);
    file.structure(
        kind::STRUCT,
        "file",
        24,
        &[("lock", U64, 0), ("", union, 8)],
    );
    file
}

/// On top of it: `struct stat { struct { u64 flushes; } generic; u64 exits; u64 hist[4]; union { struct { u64 small; };
/// u64 all[1]; }; }`, `struct kvm { struct path path; struct stat stat; }`
fn module(kernel: &File) -> File {
    let mut file = File::module(kernel);
    let [four, one] = [4, 1].map(|count| file.array(U64, count));
    let generic = file.structure(
        kind::STRUCT,
        "generic",
        16,
        &[("flushes", U64, 0), ("kicks", U64, 8)],
    );
    let small = file.structure(kind::STRUCT, "", 8, &[("small", U64, 0)]);
    let union = file.structure(kind::UNION, "", 8, &[("", small, 0), ("all", one, 0)]);
    let members = [
        ("generic", generic, 0),
        ("exits", U64, 16),
        ("hist", four, 24),
        ("", union, 56),
    ];
    let stat = file.structure(kind::STRUCT, "stat", 64, &members);
    file.structure(
        kind::STRUCT,
        "kvm",
        80,
        &[("path", 2, 0), ("stat", stat, 16)],
    );
    file
}

const NAMES: [Named<'_>; 6] = [
    Named::Struct("kvm"),
    Named::Struct("file"),
    Named::Struct("flags"),
    Named::Struct("a"),
    Named::Struct("absent"),
    Named::Function("iterate"),
];

fn place(btf: &Btf<'_>, structure: &str, path: &str) -> Option<(u32, u32)> {
    let Member { offset, size, .. } = btf.member(structure, path)?;
    Some((offset, size))
}

#[test]
fn members_are_found_in_unnamed_unions_and_across_the_border_of_a_module() {
    let kernel = kernel();
    let (below, above) = (kernel.bytes(), module(&kernel).bytes());
    let (below, above) = (below.as_slice(), above.as_slice());
    let mut btf = Btf::new(&below, &NAMES).unwrap();
    assert_eq!(place(&btf, "file", "f_path.dentry"), Some((16, 8)));
    assert_eq!(place(&btf, "kvm", "stat"), None);
    btf.add_module(&above).unwrap();
    assert_eq!(place(&btf, "file", "f_path.dentry"), Some((16, 8)));
    assert_eq!(place(&btf, "kvm", "path.dentry"), Some((8, 8)));
    assert_eq!(place(&btf, "kvm", "stat"), Some((16, 64)));
    assert_eq!(place(&btf, "kvm", "stat.small"), Some((72, 8)));
    assert_eq!(place(&btf, "kvm", "absent"), None);
    assert_eq!(place(&btf, "absent", "stat"), None);
}

#[test]
fn a_modules_struct_is_found_before_one_of_the_kernel_with_the_same_name() {
    let mut kernel = kernel();
    kernel.structure(kind::STRUCT, "kvm", 8, &[("stat", U64, 0)]);
    let (below, above) = (kernel.bytes(), module(&kernel).bytes());
    let (below, above) = (below.as_slice(), above.as_slice());
    let mut btf = Btf::new(&below, &NAMES).unwrap();
    assert_eq!(place(&btf, "kvm", "stat"), Some((0, 8)));
    btf.add_module(&above).unwrap();
    assert_eq!(place(&btf, "kvm", "stat"), Some((16, 64)));
}

#[test]
fn a_function_is_found_by_its_name_also_where_a_struct_has_the_same() {
    let mut kernel = kernel();
    kernel.structure(kind::STRUCT, "iterate", 8, &[("stat", U64, 0)]);
    let function = kernel.add("iterate", kind::FUNC, 0, U64, &[]);
    // More types than are between two that are kept.
    (0..100).for_each(|_| _ = kernel.array(U64, 3));
    let bytes = kernel.bytes();
    let bytes = bytes.as_slice();
    let btf = Btf::new(&bytes, &NAMES).unwrap();
    assert_eq!(btf.id(Named::Function("iterate")), Some(function));
    assert_eq!(place(&btf, "file", "f_path.dentry"), Some((16, 8)));
    assert_eq!(btf.size(function + 99, 32), Some(24));
    assert_eq!(btf.size(function + 101, 32), None);
}

#[test]
fn counters_are_named_once_and_arrays_counted() {
    let kernel = kernel();
    let (below, above) = (kernel.bytes(), module(&kernel).bytes());
    let (below, above) = (below.as_slice(), above.as_slice());
    let mut btf = Btf::new(&below, &NAMES).unwrap();
    btf.add_module(&above).unwrap();
    let statistic = |name: &str, offset, values| Statistic {
        name: name.to_owned(),
        offset,
        values,
    };
    assert_eq!(
        btf.counters(btf.member("kvm", "stat").unwrap()),
        [
            statistic("flushes", 0, 1),
            statistic("kicks", 8, 1),
            statistic("exits", 16, 1),
            statistic("hist", 24, 4),
            statistic("small", 56, 1),
        ]
    );
}

#[test]
fn a_bitfield_is_not_a_member() {
    let mut file = File::kernel();
    file.add("u64", kind::INT, 0, 8, &[64]);
    let names = ["bit", "next"].map(|name| file.text(name));
    let tail = [names[0], U64, 1 << 24, names[1], U64, 64];
    file.add("flags", 1 << 7 | kind::STRUCT, 2, 16, &tail);
    let bytes = file.bytes();
    let bytes = bytes.as_slice();
    let btf = Btf::new(&bytes, &NAMES).unwrap();
    assert_eq!(place(&btf, "flags", "next"), Some((8, 8)));
    assert_eq!(place(&btf, "flags", "bit"), None);
}

#[test]
fn a_type_that_holds_itself_comes_to_an_end() {
    let mut file = File::kernel();
    let unnamed = file.structure(kind::STRUCT, "", 16, &[("", 1, 0), ("", 1, 8)]);
    file.structure(kind::STRUCT, "a", 16, &[("b", unnamed, 0)]);
    let bytes = file.bytes();
    let bytes = bytes.as_slice();
    let btf = Btf::new(&bytes, &NAMES).unwrap();
    assert_eq!(place(&btf, "a", "b.absent"), None);
    assert_eq!(btf.counters(btf.member("a", "b").unwrap()), []);
}

#[test]
fn a_kind_of_type_that_is_newer_is_refused() {
    let mut file = kernel();
    file.add("later", 20, 0, 0, &[]);
    let error = Btf::new(&file.bytes().as_slice(), &NAMES).unwrap_err();
    assert!(error.to_string().contains("not known here"), "{error}");
}

fn ask(kernel: &[u8], module: &[u8]) {
    let Ok(mut btf) = Btf::new(&kernel, &NAMES) else {
        return;
    };
    let _ = btf.add_module(&module);
    for (structure, path) in [
        ("kvm", "stat"),
        ("kvm", "stat.small"),
        ("file", "f_path.dentry"),
    ] {
        if let Some(member) = btf.member(structure, path) {
            assert!(btf.counters(member).len() <= 1 << 13);
        }
    }
}

#[test]
fn no_cut_and_no_change_of_the_input_panics() {
    let kernel = kernel();
    let (below, above) = (kernel.bytes(), module(&kernel).bytes());
    for end in 0..below.len() {
        ask(&below[..end], &above);
    }
    for end in 0..above.len() {
        ask(&below, &above[..end]);
    }
    let mut random = fastrand::Rng::with_seed(16);
    for _ in 0..4_000 {
        let mut files = [below.clone(), above.clone()];
        for _ in 0..random.usize(1..4) {
            let file = &mut files[random.usize(..2)];
            let at = random.usize(..file.len());
            file[at] = random.u8(..);
        }
        ask(&files[0], &files[1]);
    }
}

#[test]
fn a_name_that_comes_a_million_times_is_kept_a_few_times() {
    let mut file = kernel();
    for _ in 0..1_000_000 {
        file.strings.extend(b"file\0");
    }
    let bytes = file.bytes();
    let names = [Named::Struct("file")];
    let bytes = bytes.as_slice();
    let btf = Btf::new(&bytes, &names).unwrap();
    assert_eq!(btf.lookups[0].names.len(), MAX_NAMES);
    assert!(btf.member("file", "lock").is_some());
}
