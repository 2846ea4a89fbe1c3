"""A monitor of virtual machines for tests: each line on its standard input is an expression, the answer is a line of JSON.
Its guests sleep until they are interrupted, write to a port, and sleep again."""
import ctypes, fcntl, json, mmap, os, signal, struct, sys, threading

CREATE_VM, CREATE_VCPU, GET_STATS_FD, RUN, MMAP_SIZE = 0xAE01, 0xAE41, 0xAECE, 0xAE80, 0xAE04
CREATE_IRQCHIP, IRQ_LINE, SET_MEMORY = 0xAE60, 0x4008AE61, 0x4020AE46
GET_SREGS, SET_SREGS, GET_REGS, SET_REGS = 0x8138AE83, 0x4138AE84, 0x8090AE81, 0x4090AE82
# sti; hlt; mov dx, 0x3f8; out dx, al; jmp back
GUEST = bytes([0xFB, 0xF4, 0xBA, 0xF8, 0x03, 0xEE, 0xEB, 0xF8])
# mov al, 0x20; out 0x20, al (the interrupt is served); iret
HANDLER = bytes([0xB0, 0x20, 0xE6, 0x20, 0xCF])

kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
vms = {}


def in_thread(make):
    """Runs it in a thread of its own that lives on; its result."""
    done, result = threading.Event(), []
    def run():
        result.append(make())
        done.set()
        threading.Event().wait()
    threading.Thread(target=run, daemon=True).start()
    done.wait()
    return result[0]


class Vm:
    def __init__(self, vcpus, keep, keep_vm, guest):
        self.fd = fcntl.ioctl(kvm, CREATE_VM, 0)
        self.tid = threading.get_native_id()
        self.stats = fcntl.ioctl(self.fd, GET_STATS_FD, 0) if keep_vm else None
        self.memory = None
        if guest:
            fcntl.ioctl(self.fd, CREATE_IRQCHIP, 0)
            self.memory = mmap.mmap(-1, 0x4000)
            self.memory[0:4] = struct.pack("<HH", 0x2000, 0)
            self.memory[0x1000:0x1000 + len(GUEST)] = GUEST
            self.memory[0x2000:0x2000 + len(HANDLER)] = HANDLER
            address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
            fcntl.ioctl(self.fd, SET_MEMORY, struct.pack("<IIQQQ", 0, 0, 0, 0x4000, address))
        self.vcpus, self.kept = [], {}
        for _ in range(vcpus):
            self.add(keep)

    def add(self, keep=True):
        number = len(self.vcpus)
        self.vcpus.append(fcntl.ioctl(self.fd, CREATE_VCPU, number))
        if keep:
            self.kept[number] = fcntl.ioctl(self.vcpus[number], GET_STATS_FD, 0)

    def enter(self):
        """The first vCPU is made ready to run its guest; where it says why it left it."""
        fd = self.vcpus[0]
        sregs = bytearray(fcntl.ioctl(fd, GET_SREGS, bytes(312)))
        for at in (0, 24, 48, 72, 96, 120):
            struct.pack_into("<Q", sregs, at, 0)
            struct.pack_into("<H", sregs, at + 12, 0)
        fcntl.ioctl(fd, SET_SREGS, bytes(sregs))
        regs = bytearray(144)
        struct.pack_into("<Q", regs, 48, 0x3000)
        struct.pack_into("<QQ", regs, 128, 0x1000, 2)
        fcntl.ioctl(fd, SET_REGS, bytes(regs))
        return mmap.mmap(fd, fcntl.ioctl(kvm, MMAP_SIZE, 0))

    def halt(self):
        """The first vCPU's guest sleeps from now on, in KVM_RUN, and nobody wakes it."""
        self.state = self.enter()
        ready = threading.Event()
        def loop():
            # The ioctl without the interpreter's lock.
            ready.set()
            ctypes.CDLL(None, use_errno=True).ioctl(self.vcpus[0], RUN, 0)
        threading.Thread(target=loop, daemon=True).start()
        ready.wait()
        # Until it sleeps: `blocking` is 1, and no number changes.
        before = None
        while before is None or before != self.all() or before["vcpu0"]["blocking"]["values"] != [1]:
            before = self.all()
        return before["vcpu0"]["halt_exits"]["values"][0]

    def run(self, times):
        """The first vCPU's guest sleeps and is woken so many times."""
        fd, state, reasons = self.vcpus[0], self.enter(), []
        def loop():
            for _ in range(times):
                fcntl.ioctl(fd, RUN, 0)
                reasons.append(struct.unpack_from("<I", state, 8)[0])
        thread = threading.Thread(target=loop)
        thread.start()
        while thread.is_alive():
            for level in (0, 1):
                fcntl.ioctl(self.fd, IRQ_LINE, struct.pack("<II", 0, level))
            thread.join(0.002)
        return reasons

    def all(self):
        """What this process reads of its own: by vCPU, and of the VM."""
        def read(fd, kept):
            stats = fcntl.ioctl(fd, GET_STATS_FD, 0) if kept is None else kept
            try:
                return decode(os.pread(stats, 1 << 20, 0))
            finally:
                if kept is None:
                    os.close(stats)
        vcpus = {f"vcpu{n}": read(fd, self.kept.get(n)) for n, fd in enumerate(self.vcpus)}
        return {"vm": read(self.fd, self.stats), **vcpus}

    def close(self):
        for fd in [*self.kept.values(), *self.vcpus, self.stats, self.fd]:
            if fd is not None:
                os.close(fd)


def data_offset(stats):
    """Where the numbers of a statistics file begin."""
    return struct.unpack("=6I", os.pread(stats, 24, 0))[5]


def decode(block):
    _, size, count, _, descriptors, data = struct.unpack_from("=6I", block, 0)
    out = {}
    for i in range(count):
        at = descriptors + i * (16 + size)
        flags, exponent, n, offset, width = struct.unpack_from("=IhHII", block, at)
        name = block[at + 16:at + 16 + size].split(b"\0")[0].decode()
        values = list(struct.unpack_from(f"={n}Q", block, data + offset))
        out[name] = {"type": flags & 15, "unit": flags >> 4 & 15, "exponent": exponent, "width": width, "values": values}
    return out


def vm(name, vcpus=1, keep=True, keep_vm=False, guest=False):
    vms[name] = Vm(vcpus, keep, keep_vm, guest)
    return {"pid": os.getpid(), "tid": vms[name].tid, "fd": vms[name].fd}


def fork():
    """A child that holds all that this process holds, and does nothing."""
    child = os.fork()
    if child == 0:
        libc = ctypes.CDLL(None)
        libc.prctl(1, signal.SIGKILL)
        for fd in (0, 1):
            os.close(fd)
        signal.pause()
    return child


def child_vm(**of):
    """A child that makes a VM of its own."""
    there, here = os.pipe()
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        os.write(here, json.dumps(vm("child", **of)).encode())
        signal.pause()
    os.close(here)
    made = json.loads(os.read(there, 4096))
    os.close(there)
    return made


def kill(child):
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)


def become(user):
    """Gives all rights up, and lets itself be looked at by others of this user."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    return ctypes.CDLL(None).prctl(4, 1)


for line in sys.stdin:
    print(json.dumps(eval(line)), flush=True)
