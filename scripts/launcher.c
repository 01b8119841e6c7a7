/*
 * Head of the compressed release file: puts k3 and the loader and libraries it runs with on the
 * disk, once per version, and becomes it. Static, so that it runs where there is no C library.
 *
 * File layout: this program, a zstd frame with all files one after another, a table of them,
 * and the trailer. All numbers are little-endian like both architectures.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define MAGIC "K3SELF1\n"
#define PADDING 256 /* bytes reserved at the end of k3 for the path of its loader */

struct entry {
  char name[56];
  uint64_t size;
};

struct trailer {
  uint64_t offset; /* of the zstd frame */
  uint64_t packed; /* its size */
  uint64_t count;  /* of entries; the first is k3, the second its loader */
  char version[64];
  char magic[8];
};

static struct trailer trailer;
static struct entry entries[16];
static int self = -1;

static int fail(const char *what) {
  fprintf(stderr, "k3: %s: %s\n", what, strerror(errno));
  return -1;
}

static int read_trailer(void) {
  self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (self < 0) return fail("cannot read /proc/self/exe; is /proc mounted?");
  off_t end = lseek(self, 0, SEEK_END);
  if (pread(self, &trailer, sizeof trailer, end - (off_t)sizeof trailer) != sizeof trailer ||
      memcmp(trailer.magic, MAGIC, 8) != 0 || trailer.count < 2 || trailer.count > 16) {
    fprintf(stderr, "k3: this file is damaged or cut short; download it again\n");
    return -1;
  }
  size_t size = trailer.count * sizeof(struct entry);
  return pread(self, entries, size, trailer.offset + trailer.packed) == (ssize_t)size ? 0 : -1;
}

static int make_dirs(const char *path, mode_t mode) {
  char part[PATH_MAX];
  if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part) return -1;
  for (char *at = part + 1; *at; at++) {
    if (*at != '/') continue;
    *at = 0;
    if (mkdir(part, mode) < 0 && errno != EEXIST) return -1;
    *at = '/';
  }
  return mkdir(part, mode) < 0 && errno != EEXIST ? -1 : 0;
}

/* Nobody else may have prepared a program for us to run. */
static int trusted(const char *path) {
  struct stat info;
  if (stat(path, &info) < 0) return 0;
  return (info.st_uid == 0 || info.st_uid == geteuid()) && !(info.st_mode & S_IWOTH);
}

static void remove_tree(const char *path) {
  DIR *dir = opendir(path);
  if (dir) {
    for (struct dirent *item; (item = readdir(dir));) {
      if (strcmp(item->d_name, ".") && strcmp(item->d_name, ".."))
        unlinkat(dirfd(dir), item->d_name, 0);
    }
    closedir(dir);
  }
  rmdir(path);
}

static int in_use(const char *path) {
  size_t length = strlen(path);
  int used = 0;
  DIR *proc = opendir("/proc");
  if (!proc) return 1;
  for (struct dirent *item; !used && (item = readdir(proc));) {
    char link[300], target[PATH_MAX];
    if (item->d_name[0] < '1' || item->d_name[0] > '9') continue;
    snprintf(link, sizeof link, "/proc/%s/exe", item->d_name);
    ssize_t got = readlink(link, target, sizeof target - 1);
    used = got > (ssize_t)length && !strncmp(target, path, length) && target[length] == '/';
  }
  closedir(proc);
  return used;
}

/* Parts a killed unpack left, and other versions that nothing runs; the lock is held. */
static void clean(const char *data, const char *keep) {
  DIR *dir = opendir(data);
  if (!dir) return;
  for (struct dirent *item; (item = readdir(dir));) {
    char path[PATH_MAX + 256];
    snprintf(path, sizeof path, "%s/%s", data, item->d_name);
    int part = !strncmp(item->d_name, ".k3-", 4);
    int other = !strncmp(item->d_name, "k3-", 3) && strcmp(path, keep);
    if (part || (other && !in_use(path))) remove_tree(path);
  }
  closedir(dir);
}

static int write_all(int fd, const char *data, size_t size) {
  while (size > 0) {
    ssize_t done = write(fd, data, size);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return -1;
    data += done;
    size -= done;
  }
  return 0;
}

static int open_entry(const char *dir, const struct entry *entry) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%.56s", dir, entry->name);
  return open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
}

/* Undoes what branch-filter.ts did to k3. */
static void unfilter(uint8_t *code, uint64_t size) {
#ifdef __aarch64__
  for (uint64_t at = 0; at + 4 <= size; at += 4) {
    uint32_t instruction;
    memcpy(&instruction, code + at, 4);
    if (instruction >> 26 != 0x25) continue;
    instruction = 0x94000000u | ((instruction - (uint32_t)(at / 4)) & 0x3ffffffu);
    memcpy(code + at, &instruction, 4);
  }
#else
  for (uint64_t at = 0; at + 5 <= size;) {
    if (code[at] != 0xe8 && code[at] != 0xe9) {
      at++;
      continue;
    }
    uint32_t target;
    memcpy(&target, code + at + 1, 4);
    int32_t value = (int32_t)__builtin_bswap32(target);
    if (value >= -(1 << 27) && value < 1 << 27)
      value = (int32_t)(((uint32_t)value - (uint32_t)at) << 4) >> 4;
    memcpy(code + at + 1, &value, 4);
    at += 5;
  }
#endif
}

/* Ends a file; into k3 itself goes the path of its loader. */
static int close_entry(int fd, size_t index, const char *home) {
  if (index == 0) {
    uint64_t size = entries[0].size;
    void *code = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (code == MAP_FAILED) return -1;
    unfilter(code, size);
    if (munmap(code, size) < 0) return -1;
    char loader[PADDING] = {0};
    if (snprintf(loader, sizeof loader, "%s/%.56s", home, entries[1].name) >= PADDING) {
      errno = ENAMETOOLONG;
      return -1;
    }
    if (pwrite(fd, loader, PADDING, entries[0].size - PADDING) != PADDING) return -1;
  }
  int failed = fsync(fd);
  return close(fd) < 0 ? -1 : failed;
}

/* Decompresses into `part`, which will be renamed to `home`. */
static int unpack(const char *part, const char *home) {
  static char out[1 << 20], in[1 << 18];
  ZSTD_DStream *stream = ZSTD_createDStream();
  if (!stream) return -1;
  ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, 27);
  uint64_t from = trailer.offset, left = trailer.packed, want = entries[0].size;
  size_t index = 0;
  int fd = open_entry(part, &entries[0]);
  ZSTD_inBuffer source = {in, 0, 0};
  while (fd >= 0 && index < trailer.count) {
    if (source.pos == source.size && left > 0) {
      ssize_t got = pread(self, in, left < sizeof in ? left : sizeof in, from);
      if (got <= 0) break;
      from += got;
      left -= got;
      source.size = got;
      source.pos = 0;
    }
    ZSTD_outBuffer target = {out, sizeof out, 0};
    size_t state = ZSTD_decompressStream(stream, &target, &source);
    if (ZSTD_isError(state) || (target.pos == 0 && left == 0 && source.pos == source.size)) {
      errno = EIO;
      break;
    }
    for (size_t at = 0; at < target.pos && fd >= 0;) {
      size_t size = target.pos - at < want ? target.pos - at : want;
      if (write_all(fd, out + at, size) < 0) goto done;
      at += size;
      want -= size;
      if (want > 0) continue;
      if (close_entry(fd, index, home) < 0) {
        fd = -1;
        goto done;
      }
      index++;
      fd = index < trailer.count ? open_entry(part, &entries[index]) : -1;
      want = index < trailer.count ? entries[index].size : 0;
    }
  }
done:
  ZSTD_freeDStream(stream);
  if (fd >= 0) close(fd);
  return index == trailer.count ? 0 : -1;
}

/* Makes sure `home` exists below `data`; 0 when it does. */
static int provide(const char *data, const char *home, mode_t mode) {
  char lock[PATH_MAX + 16], part[PATH_MAX + 32];
  if (make_dirs(data, mode) < 0 || !trusted(data)) return -1;
  snprintf(lock, sizeof lock, "%s/.k3.lock", data);
  int fd = open(lock, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || flock(fd, LOCK_EX) < 0) return -1;
  int result = access(home, X_OK);
  if (result != 0) {
    clean(data, home);
    snprintf(part, sizeof part, "%s/.k3-%d", data, (int)getpid());
    result = mkdir(part, 0755) < 0 ? -1 : unpack(part, home);
    if (result == 0) result = rename(part, home);
    if (result != 0) {
      int reason = errno;
      remove_tree(part);
      errno = reason;
    } else {
      int dir = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (dir >= 0) fsync(dir), close(dir);
    }
  }
  close(fd);
  return result;
}

static void try_run(const char *base, mode_t mode, char **argv) {
  char data[PATH_MAX - 128], home[PATH_MAX], program[PATH_MAX];
  if (base[0] != '/') {
    char here[PATH_MAX / 2];
    if (!getcwd(here, sizeof here)) return;
    if (snprintf(data, sizeof data, "%s/%s/data", here, base) >= (int)sizeof data) return;
  } else if (snprintf(data, sizeof data, "%s/data", base) >= (int)sizeof data) {
    return;
  }
  snprintf(home, sizeof home, "%s/k3-%.64s", data, trailer.version);
  snprintf(program, sizeof program, "%.*s/k3", PATH_MAX - 8, home);
  if ((access(program, X_OK) == 0 && trusted(home)) || provide(data, home, mode) == 0) {
    execv(program, argv);
    /* Another place helps against a file system mounted noexec, and against nothing else. */
    if (errno != EACCES) exit(fail("cannot start the unpacked program") ? 1 : 0);
  }
}

/* The data directory as given on the command line or in the environment. */
static const char *chosen_dir(char **argv) {
  for (char **at = argv + 1; argv[0] && *at && strcmp(*at, "--"); at++) {
    if ((!strcmp(*at, "--data-dir") || !strcmp(*at, "-d")) && at[1]) return at[1];
    if (!strncmp(*at, "--data-dir=", 11)) return *at + 11;
    if (!strncmp(*at, "-d=", 3)) return *at + 3;
  }
  const char *set = getenv("K3S_DATA_DIR");
  return set && *set ? set : NULL;
}

int main(int argc, char **argv) {
  char path[PATH_MAX];
  (void)argc;
  if (read_trailer() < 0) return 1;
  const char *name = argv[0] ? strrchr(argv[0], '/') : NULL;
  name = name ? name + 1 : argv[0] ? argv[0] : "k3";
  /* kubectl's and ctr's own flags are not ours to read. */
  int own = strcmp(name, "kubectl") && strcmp(name, "ctr") && strcmp(name, "crictl") && argv[1] &&
            (!strcmp(argv[1], "server") || !strcmp(argv[1], "agent"));
  const char *chosen = own ? chosen_dir(argv) : getenv("K3S_DATA_DIR");
  /* Who names a directory does not want the usual one touched. */
  try_run(chosen && *chosen ? chosen : "/var/lib/rancher/k3s", 0755, argv);
  const char *home = getenv("HOME"), *cache = getenv("XDG_CACHE_HOME"), *tmp = getenv("TMPDIR");
  if (home && *home && snprintf(path, sizeof path, "%s/.rancher/k3s", home) < PATH_MAX)
    try_run(path, 0755, argv);
  if (cache && *cache && snprintf(path, sizeof path, "%s/k3", cache) < PATH_MAX)
    try_run(path, 0755, argv);
  const char *last[] = {tmp && *tmp ? tmp : "/tmp", "/run", "/dev/shm"};
  for (int i = 0; i < 3; i++) {
    if (snprintf(path, sizeof path, "%s/k3-%d", last[i], (int)geteuid()) < PATH_MAX)
      try_run(path, 0700, argv);
  }
  fprintf(stderr,
          "k3: found no place to unpack to (%s). Set K3S_DATA_DIR to a directory with 300 MB "
          "free, on a file system mounted without noexec.\n",
          strerror(errno));
  return 1;
}
