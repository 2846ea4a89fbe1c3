// What reading KVM's statistics costs where nothing else is done: proofs WAY SWEEPS MILLISECONDS WHAT…
//   kept PID…     of each process a pidfd is kept; each statistics descriptor is taken, read whole, and closed
//   asked PID…    the same; before it is read it is asked how it was opened
//   checked PID…  a pidfd for each process at each sweep; header and id are read before the numbers
//   pass LINK     one pass of the BPF iterator whose link is this descriptor
// Sweeps begin so many ms after each other, since caches cool down in between. Its output: the CPU time of the median sweep, ns.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct block { int pid, pidfd, fd; uint32_t data; ssize_t length, whole; };
static struct block blocks[4096];
static int count;
static char buffer[64 << 10];

static void check(int holds, const char *what) {
    if (!holds) { perror(what); exit(1); }
}

static long now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static int open_process(int pid) { return syscall(SYS_pidfd_open, pid, 0); }
static int take(int process, int fd) { return syscall(SYS_pidfd_getfd, process, fd, 0); }

// Finds the statistics descriptors of a process, and where their numbers are.
static void find(int pid) {
    char path[64], link[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *directory = opendir(path);
    check(directory != NULL, path);
    int process = open_process(pid);
    for (struct dirent *entry; (entry = readdir(directory));) {
        ssize_t length = readlinkat(dirfd(directory), entry->d_name, link, sizeof link - 1);
        link[length < 0 ? 0 : length] = 0;
        if (strncmp(link, "anon_inode:kvm-vcpu-stats:", 26) || count == 4096) continue;
        struct block *it = &blocks[count++];
        *it = (struct block){.pid = pid, .pidfd = process, .fd = atoi(entry->d_name)};
        int fd = take(process, it->fd);
        uint32_t header[6];
        check(pread(fd, header, sizeof header, 0) == sizeof header, "header");
        it->data = header[5];
        it->whole = pread(fd, buffer, sizeof buffer, 0);
        it->length = it->whole - it->data;
        close(fd);
    }
    closedir(directory);
}

static void kept(int asks) {
    for (struct block *it = blocks; it < blocks + count; it++) {
        int fd = take(it->pidfd, it->fd);
        if (asks) check(fcntl(fd, F_GETFL) == O_RDONLY, "flags");
        check(pread(fd, buffer, sizeof buffer, 0) == it->whole, "block");
        close(fd);
    }
}

static void checked(void) {
    int pid = -1, process = -1;
    for (struct block *it = blocks; it < blocks + count; it++) {
        if (it->pid != pid) {
            close(process);
            process = open_process(pid = it->pid);
        }
        int fd = take(process, it->fd);
        check(pread(fd, buffer, 72, 0) == 72, "header and id");
        check(pread(fd, buffer, it->length, it->data) == it->length, "numbers");
        close(fd);
    }
    close(process);
}

static void pass(int link) {
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.iter_create.link_fd = link;
    int fd = syscall(SYS_bpf, BPF_ITER_CREATE, &attributes, sizeof attributes);
    check(fd >= 0, "iterator");
    while (read(fd, buffer, sizeof buffer) > 0) {}
    close(fd);
}

static int by_number(const void *a, const void *b) {
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

int main(int arguments, char **argument) {
    if (arguments < 5) return 2;
    const char *way = argument[1];
    long sweeps = atol(argument[2]), interval = atol(argument[3]) * 1000000L;
    int is_pass = !strcmp(way, "pass"), is_kept = !strcmp(way, "kept"), is_asked = !strcmp(way, "asked");
    for (int at = 4; at < arguments && !is_pass; at++) find(atoi(argument[at]));
    long *cpu = calloc(sweeps, sizeof *cpu), start = now(CLOCK_MONOTONIC);
    check(sweeps > 0 && cpu != NULL, "sweeps");
    for (long sweep = 0; sweep < sweeps; sweep++) {
        long due = start + sweep * interval;
        struct timespec at = {due / 1000000000L, due % 1000000000L};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        long before = now(CLOCK_PROCESS_CPUTIME_ID);
        if (is_pass) pass(atoi(argument[4]));
        else if (is_kept || is_asked) kept(is_asked);
        else checked();
        cpu[sweep] = now(CLOCK_PROCESS_CPUTIME_ID) - before;
    }
    qsort(cpu, sweeps, sizeof *cpu, by_number);
    printf("%ld\n", cpu[sweeps / 2]);
}
