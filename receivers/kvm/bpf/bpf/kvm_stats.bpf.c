/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * One pass over all open files of all processes. For each descriptor of a KVM VM or vCPU it writes one record: a
 * header, the kernel's own statistics struct byte for byte, and 8 bytes that say whether all of it could be read.
 *
 * There is no header of the kernel, none of libbpf, no map, and no relocation: the loader puts where a member lies, as it
 * reads it in the running kernel's BTF, into the instructions. So these fit each kernel from 5.8 on, with KVM built in or
 * as a module. It reads kernel memory, and never writes it.
 *
 * scripts/bpf-program.sh makes kvm_stats.bpf.bin of it, the instructions and nothing else, and compares it. Its licence
 * for the kernel is "Dual MIT/GPL".
 */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define INLINE static inline __attribute__((always_inline))

/* Their numbers are fixed by <linux/bpf.h>. */
static long (*const bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*const bpf_probe_read_kernel_str)(void *to, u32 size, const void *from) = (void *)115;
static long (*const bpf_seq_write)(void *seq, const void *data, u32 size) = (void *)127;

struct iter_meta {
	void *seq;
};

/* The context of iter/task_file, the same in each kernel that has it. */
struct iter_task_file {
	struct iter_meta *meta;
	void *task;
	u32 fd;
	u32 padding;
	void *file;
};

/*
 * What the loader knows, by its number in src/layout.rs: offsets and sizes in bytes. Each is a load of a 64-bit constant
 * with a mark in its upper half, in whose place the loader puts the value.
 */
#define MARK 0x6b766d53ULL
#define CONSTANT(name, number)                                            \
	INLINE u64 name(void)                                             \
	{                                                                 \
		u64 value;                                                \
		asm("%0 = %1 ll" : "=r"(value) : "i"(MARK << 32 | number)); \
		return value;                                             \
	}
CONSTANT(task_tgid, 0)
CONSTANT(task_leader, 1)
CONSTANT(task_start, 2)
CONSTANT(file_inode, 3)
CONSTANT(file_dentry, 4)
CONSTANT(file_private, 5)
CONSTANT(inode_super, 6)
CONSTANT(super_magic, 7)
CONSTANT(dentry_name, 8)
CONSTANT(vm_stat, 9)
CONSTANT(vm_creator, 10)
CONSTANT(vm_debugfs, 11)
CONSTANT(vcpu_vm, 12)
CONSTANT(vcpu_id, 13)
CONSTANT(vcpu_stat, 14)
CONSTANT(vm_stat_size, 15)
CONSTANT(vcpu_stat_size, 16)
/* Addresses of the kernel do not leave it as they are. */
CONSTANT(secret, 17)

#define ANON_INODE_MAGIC 0x09041934
#define VERSION 2
#define KIND_VM 1
#define KIND_VCPU 2
#define CHUNK 256
#define MAX_STAT 8192
#define FAILED_VALUES 1
#define FAILED_HEADER 2

/* src/records.rs reads it. */
struct record {
	u16 version, kind;
	u32 size;	  /* of the statistics that follow */
	u64 start;	  /* of the process, in nanoseconds since boot */
	u64 vm;		  /* the same for a VM and its vCPUs, and for no other VM that lives at the time */
	u32 pid, fd;
	u32 vcpu;	  /* as the struct has it */
	u32 creator;	  /* the thread that made the VM */
	char debugfs[24]; /* the VM's directory below debugfs's kvm/, "" without debugfs */
	char name[16];	  /* the file's: "kvm-vm", or "kvm-vcpu:7", with the number as the kernel printed it */
};

INLINE u64 address(const void *base, u64 offset, u64 *failed)
{
	u64 value = 0;
	if (bpf_probe_read_kernel(&value, sizeof(value), (const u8 *)base + offset))
		*failed = FAILED_HEADER;
	return value;
}

INLINE u32 word(const void *base, u64 offset, u64 *failed)
{
	u32 value = 0;
	if (bpf_probe_read_kernel(&value, sizeof(value), (const u8 *)base + offset))
		*failed = FAILED_HEADER;
	return value;
}

int kvm_stats(struct iter_task_file *ctx)
{
	void *seq = ctx->meta->seq, *task = ctx->task, *file = ctx->file;
	if (!task || !file)
		return 0;

	u64 failed = 0;
	const void *super = (void *)address((void *)address(file, file_inode(), &failed), inode_super(), &failed);
	if (word(super, super_magic(), &failed) != ANON_INODE_MAGIC)
		return 0;

	/* "kvm-vm" or "kvm-vcpu:7", and not "kvm-vm-stats" or "kvm-vcpu-stats:7". */
	struct record record = { .version = VERSION };
	char *name = record.name;
	bpf_probe_read_kernel_str(name, sizeof(record.name),
				  (void *)address((void *)address(file, file_dentry(), &failed), dentry_name(), &failed));
	if (name[0] != 'k' || name[1] != 'v' || name[2] != 'm' || name[3] != '-' || name[4] != 'v')
		return 0;

	const void *object = (void *)address(file, file_private(), &failed), *vm = object;
	u64 stat;
	u32 size;
	if (name[5] == 'm' && name[6] == 0) {
		record.kind = KIND_VM;
		stat = vm_stat();
		size = vm_stat_size();
	} else if (name[5] == 'c' && name[6] == 'p' && name[7] == 'u' && name[8] == ':') {
		record.kind = KIND_VCPU;
		record.vcpu = word(object, vcpu_id(), &failed);
		vm = (void *)address(object, vcpu_vm(), &failed);
		stat = vcpu_stat();
		size = vcpu_stat_size();
	} else {
		return 0;
	}
	if (size > MAX_STAT)
		return 0;

	record.size = size;
	record.start = address((void *)address(task, task_leader(), &failed), task_start(), &failed);
	record.vm = (u64)vm ^ secret();
	record.pid = word(task, task_tgid(), &failed);
	record.fd = ctx->fd;
	record.creator = word(vm, vm_creator(), &failed);
	/* Without debugfs there is no such directory, which is no failure. */
	u64 ignored = 0;
	bpf_probe_read_kernel_str(record.debugfs, sizeof(record.debugfs),
				  (void *)address((void *)address(vm, vm_debugfs(), &ignored), dentry_name(), &ignored));
	bpf_seq_write(seq, &record, sizeof(record));

	/* What cannot be read comes as zeros from the kernel: told apart by what follows it. */
	u8 chunk[CHUNK];
	for (u32 at = 0; at < MAX_STAT; at += CHUNK) {
		if (at >= size)
			break;
		u32 length = size - at;
		if (length > CHUNK)
			length = CHUNK;
		if (bpf_probe_read_kernel(chunk, length, (const u8 *)object + stat + at))
			failed |= FAILED_VALUES;
		bpf_seq_write(seq, chunk, length);
	}
	bpf_seq_write(seq, &failed, sizeof(failed));
	return 0;
}
