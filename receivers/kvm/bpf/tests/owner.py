"""A process that owns VMs. It takes one command a line, and answers each with one line of JSON.

    vm VCPUS [thread]   makes a VM of so many vCPUs, by a thread of its own if asked to
    run VM              lets each vCPU of the VM run a few instructions (x86 only)
    stats VM            what the VM's and the vCPUs' own statistics descriptors give
    fork                makes a child that holds the same descriptors
    unshare             makes a thread with a table of files of its own
    close VM            closes the VM's descriptor, not its vCPUs'
"""

import ctypes
import fcntl
import json
import mmap
import os
import platform
import signal
import struct
import sys
import threading

CREATE_VM, VCPU_MMAP_SIZE, CREATE_VCPU, STATS_FD, RUN = 0xAE01, 0xAE04, 0xAE41, 0xAECE, 0xAE80
SET_TSS_ADDRESS, SET_MEMORY, SET_REGS, GET_SREGS, SET_SREGS = 0xAE47, 0x4020AE46, 0x4090AE82, 0x8138AE83, 0x4138AE84
CLONE_FILES, PR_SET_PDEATHSIG = 0x400, 1
# mov [0x2000], al; out 0x10, al; hlt: touches a page, and leaves the guest twice.
CODE = bytes([0xA2, 0x00, 0x20, 0xE6, 0x10, 0xF4])
START, HALTED = 0x1000, 5

libc = ctypes.CDLL(None, use_errno=True)
kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
vms = []


class Vm:
    def __init__(self, vcpus):
        self.creator = threading.get_native_id()
        self.fd = fcntl.ioctl(kvm, CREATE_VM, 0)
        self.memory = None
        self.vcpus = [fcntl.ioctl(self.fd, CREATE_VCPU, number) for number in range(vcpus)]

    def run(self):
        if self.memory is None:
            self.memory = mmap.mmap(-1, 0x4000)
            self.memory[START : START + len(CODE)] = CODE
            place = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
            fcntl.ioctl(self.fd, SET_TSS_ADDRESS, 0x100000)  # where nothing else is
            fcntl.ioctl(self.fd, SET_MEMORY, struct.pack("=IIQQQ", 0, 0, 0, 0x4000, place))
        for vcpu in self.vcpus:
            self.run_vcpu(vcpu)

    def run_vcpu(self, vcpu):
        sregs = bytearray(312)
        fcntl.ioctl(vcpu, GET_SREGS, sregs)
        struct.pack_into("=Q", sregs, 0, 0)  # cs.base
        struct.pack_into("=H", sregs, 12, 0)  # cs.selector
        fcntl.ioctl(vcpu, SET_SREGS, bytes(sregs))
        fcntl.ioctl(vcpu, SET_REGS, struct.pack("=18Q", *[0] * 16, START, 2))
        state = mmap.mmap(vcpu, fcntl.ioctl(kvm, VCPU_MMAP_SIZE, 0))
        for _ in range(10):
            fcntl.ioctl(vcpu, RUN, 0)
            if struct.unpack_from("=I", state, 8)[0] == HALTED:
                return
        raise RuntimeError("the guest does not halt")


def statistics(fd):
    """By name, as https://docs.kernel.org/virt/kvm/api.html#kvm-get-stats-fd has them; "" is the whole data block."""
    stats = fcntl.ioctl(fd, STATS_FD, 0)
    try:
        _, name_size, count, _, descriptors, data = struct.unpack("=6I", os.pread(stats, 24, 0))
        found, end = {}, 0
        for number in range(count):
            each = os.pread(stats, 16 + name_size, descriptors + number * (16 + name_size))
            _, _, values, offset, _ = struct.unpack_from("=IhHII", each)
            name = each[16:].split(b"\0")[0].decode()
            found[name] = struct.unpack(f"={values}Q", os.pread(stats, 8 * values, data + offset))
            end = max(end, offset + 8 * values)
        found[""] = tuple(os.pread(stats, end, data))
        return found
    finally:
        os.close(stats)


def by_thread(function):
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join()


def with_own_files():
    ready = threading.Event()

    def stay():
        assert libc.unshare(CLONE_FILES) == 0, os.strerror(ctypes.get_errno())
        ready.set()
        threading.Event().wait()

    threading.Thread(target=stay, daemon=True).start()
    ready.wait()


def fork():
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        while os.getppid() == parent:
            signal.pause()
        os._exit(0)
    return child


def answer(command, *arguments):
    if command == "vm":
        vcpus = int(arguments[0])
        if "thread" in arguments:
            by_thread(lambda: vms.append(Vm(vcpus)))
        else:
            vms.append(Vm(vcpus))
        vm = vms[-1]
        # As the pid namespace of what is mounted at /proc has it.
        pid = int(os.readlink("/proc/self"))
        return {"pid": pid, "fd": vm.fd, "vcpus": vm.vcpus, "creator": vm.creator}
    if command == "fork":
        return fork()
    if command == "unshare":
        return with_own_files()
    vm = vms[int(arguments[0])]
    if command == "run":
        return vm.run() if platform.machine() == "x86_64" else None
    if command == "stats":
        return {"vm": statistics(vm.fd), "vcpus": [statistics(vcpu) for vcpu in vm.vcpus]}
    if command == "close":
        return os.close(vm.fd)
    raise ValueError(command)


for line in sys.stdin:
    print(json.dumps(answer(*line.split())), flush=True)
