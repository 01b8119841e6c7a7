/*
 * Stands in front of runc. Most of what a shim asks of runc during a pod's life is small: start what
 * was created, send a signal, clear away what has ended. runc takes 8 ms of processor time for each,
 * nearly all of it to begin; this takes half of one. It does the plain cases by runc's own files and
 * rules, and becomes runc for everything else, at any point before it has changed what it cannot
 * repeat: whatever is odd is runc's to judge and to word.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STATE_MAX (4 << 20)
#define ALIVE_CHECK_MS 100

static char **arguments;

/* runc lies beside us, under this name. */
static _Noreturn void become_runc(void) {
  char path[PATH_MAX];
  ssize_t size = readlink("/proc/self/exe", path, sizeof path - sizeof "-real");
  if (size > 0) {
    memcpy(path + size, "-real", sizeof "-real");
    execv(path, arguments);
  }
  fprintf(stderr, "cannot run %s: %s\n", size > 0 ? path : "runc", strerror(errno));
  exit(1);
}

/* ---- JSON: the place of a value, or NULL ---- */

static const char *after_space(const char *at) {
  while (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r') at++;
  return at;
}

static const char *after_string(const char *at) {
  for (at++; *at && *at != '"'; at++) {
    if (*at == '\\' && *++at == 0) return NULL;
  }
  return *at ? at + 1 : NULL;
}

static const char *after_value(const char *at) {
  int depth = 0;
  do {
    at = after_space(at);
    if (*at == '"') {
      if ((at = after_string(at)) == NULL) return NULL;
    } else if (*at == '{' || *at == '[') {
      depth++, at++;
    } else if (*at == '}' || *at == ']') {
      depth--, at++;
    } else if (*at == ',' || *at == ':') {
      at++;
    } else {
      size_t size = strcspn(at, ",:{}[]\" \t\r\n");
      if (size == 0) return NULL;
      at += size;
    }
  } while (depth > 0);
  return at;
}

/* The next member of an object whose inside `*at` stands in: its name, and its value. */
static const char *next_member(const char **at, const char **value) {
  const char *name = after_space(*at);
  if (*name == ',') name = after_space(name + 1);
  if (*name != '"') return NULL;
  const char *end = after_string(name);
  if (end == NULL || *(end = after_space(end)) != ':') return NULL;
  *value = after_space(end + 1);
  return (*at = after_value(*value)) == NULL ? NULL : name;
}

static const char *member(const char *object, const char *wanted) {
  if (object == NULL || *object != '{') return NULL;
  const char *at = object + 1, *value, *name;
  size_t size = strlen(wanted);
  while ((name = next_member(&at, &value)) != NULL) {
    if (strncmp(name + 1, wanted, size) == 0 && name[size + 1] == '"') return value;
  }
  return NULL;
}

static int is_text(const char *value, const char *text) {
  size_t size = strlen(text);
  return value != NULL && *value == '"' && strncmp(value + 1, text, size) == 0 &&
         value[size + 1] == '"';
}

static int is_absent(const char *value) {
  return value == NULL || strncmp(value, "null", 4) == 0;
}

/* A path without escapes; 0 where it is another. */
static int copy_path(const char *value, char *path) {
  size_t size = strcspn(value + 1, "\"\\");
  if (*value != '"' || value[size + 1] != '"' || size == 0 || size >= PATH_MAX - 64) return 0;
  memcpy(path, value + 1, size);
  path[size] = 0;
  return *path == '/';
}

/* ---- what runc knows of the container ---- */

static char directory[PATH_MAX];
static char *state;

static char *read_all(const char *path) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (file < 0 || fstat(file, &info) < 0 || info.st_size <= 0 || info.st_size > STATE_MAX) {
    become_runc();
  }
  char *text = malloc((size_t)info.st_size + 1);
  if (text == NULL || read(file, text, (size_t)info.st_size) != info.st_size) become_runc();
  text[info.st_size] = 0;
  close(file);
  return text;
}

static void load_state(void) {
  char path[PATH_MAX];
  if (snprintf(path, sizeof path, "%s/state.json", directory) >= (int)sizeof path) become_runc();
  state = read_all(path);
  if (*state != '{' || after_value(state) == NULL) become_runc();
}

/* Its first process ends all the others with it. */
static int has_own_pids(void) {
  const char *list = member(member(state, "config"), "namespaces");
  if (list == NULL || *list != '[') return 0;
  for (const char *at = after_space(list + 1); at != NULL && *at == '{';) {
    if (is_text(member(at, "type"), "NEWPID")) return is_text(member(at, "path"), "");
    at = after_value(at);
    if (at != NULL && *(at = after_space(at)) == ',') at = after_space(at + 1);
  }
  return 0;
}

static long long number(const char *name) {
  const char *value = member(state, name);
  return value == NULL ? 0 : strtoll(value, NULL, 10);
}

/* Whether the container's first process runs: it, and no other that has its number now. */
static int is_alive(void) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)number("init_process_pid"));
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0 && errno != ENOENT) become_runc();
  if (file < 0) return 0;
  ssize_t size = read(file, text, sizeof text - 1);
  close(file);
  if (size <= 0) return 0;
  text[size] = 0;
  /* The name, in parentheses, may hold anything. */
  const char *at = strrchr(text, ')');
  char letter;
  long long started;
  const char *fields = " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                       "%*d %lld";
  if (at == NULL || sscanf(at + 1, fields, &letter, &started) != 2) become_runc();
  return started == number("init_process_start") && letter != 'Z' && letter != 'X';
}

/* Whether the container is known not to be frozen; one without a cgroup cannot be. */
static int is_thawed(void) {
  const char *paths = member(state, "cgroup_paths");
  const char *first = member(paths, "freezer");
  const char *file = first == NULL ? "cgroup.freeze" : "freezer.state";
  char path[PATH_MAX], word[16] = "";
  if (first == NULL) first = member(paths, "");
  if (first == NULL || !copy_path(first, path)) return 0;
  snprintf(path + strlen(path), 32, "/%s", file);
  int opened = open(path, O_RDONLY | O_CLOEXEC);
  if (opened < 0) return errno == ENOENT;
  ssize_t size = read(opened, word, sizeof word - 1);
  close(opened);
  return size > 0 && (strcmp(word, "THAWED\n") == 0 || strcmp(word, "0\n") == 0);
}

/* ---- the commands ---- */

static int kill_it(int number_of_signal, int all) {
  load_state();
  if (!has_own_pids()) become_runc();
  int process = (int)syscall(SYS_pidfd_open, (pid_t)number("init_process_pid"), 0);
  if (!is_alive()) {
    /* Whoever wants all of them gone has what he wants. */
    if (all) return 0;
    become_runc();
  }
  if (process < 0 || !is_thawed()) become_runc();
  if (syscall(SYS_pidfd_send_signal, process, number_of_signal, NULL, 0) < 0) become_runc();
  return 0;
}

/* The process waits with a pipe for whoever reads its word, and then is the container's program. */
static int start_it(void) {
  char path[PATH_MAX], word[16];
  if (getenv("NOTIFY_SOCKET") != NULL) become_runc();
  load_state();
  snprintf(path, sizeof path, "%s/exec.fifo", directory);
  if (!is_alive() || !is_thawed()) become_runc();
  struct stat info;
  if (lstat(path, &info) < 0 || !S_ISFIFO(info.st_mode)) become_runc();
  struct pollfd pipe = {.fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), .events = POLLIN};
  if (pipe.fd < 0) become_runc();
  for (int heard = 0;;) {
    int ready = poll(&pipe, 1, ALIVE_CHECK_MS);
    if (ready < 0 && errno != EINTR) become_runc();
    if (ready == 0 && !is_alive() && !heard) become_runc();
    if (ready <= 0) continue;
    ssize_t size = read(pipe.fd, word, sizeof word);
    if (size > 0) heard = 1;
    if (size == 0 && !heard) become_runc();
    if (size == 0) break;
  }
  if (unlink(path) < 0) become_runc();
  return 0;
}

/* Removes a cgroup with those below it; a killed process may take a moment to leave. */
static int remove_cgroup(const char *path) {
  struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
  for (int tries = 0; tries < 5; tries++) {
    if (rmdir(path) == 0 || errno == ENOENT) return 1;
    DIR *opened = opendir(path);
    struct dirent *entry;
    while (opened != NULL && (entry = readdir(opened)) != NULL) {
      char below[PATH_MAX];
      if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
      snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
      remove_cgroup(below);
    }
    if (opened != NULL) closedir(opened);
    if (rmdir(path) == 0 || errno == ENOENT) return 1;
    nanosleep(&pause, NULL);
    pause.tv_nsec *= 2;
  }
  return 0;
}

/* systemd, hooks and cache partitions are runc's own business. */
static int is_plain(void) {
  const char *config = member(state, "config");
  const char *systemd = member(member(config, "cgroups"), "Systemd");
  const char *partition = member(state, "intel_rdt_path");
  const char *hooks = member(config, "Hooks");
  if (systemd != NULL && strncmp(systemd, "false", 5) != 0) return 0;
  if (!is_absent(partition) && !is_text(partition, "")) return 0;
  return is_absent(hooks) || is_absent(member(hooks, "poststop"));
}

static int delete_it(int by_force) {
  struct stat info;
  /* runc has nothing of it, and whoever insists wants no more than that. */
  if (by_force && lstat(directory, &info) < 0 && errno == ENOENT) return 0;
  if (by_force) become_runc();
  load_state();
  if (!has_own_pids() || !is_plain() || is_alive() || !is_thawed()) become_runc();
  const char *paths = member(state, "cgroup_paths");
  if (paths == NULL || *paths != '{') become_runc();
  const char *at = paths + 1, *value;
  while (next_member(&at, &value) != NULL) {
    char path[PATH_MAX];
    if (!copy_path(value, path) || !remove_cgroup(path)) become_runc();
  }
  int opened = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (opened < 0) become_runc();
  /* What runc finds the container by goes last: without it nothing would be repeated. */
  if (unlinkat(opened, "exec.fifo", 0) < 0 && errno != ENOENT) become_runc();
  if (unlinkat(opened, "state.json", 0) < 0 || rmdir(directory) < 0) become_runc();
  return 0;
}

/* Ids with which no path leaves its folder. */
static int is_id(const char *text) {
  const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  return *text && text[strspn(text, letters)] == 0;
}

int main(int count, char **given) {
  arguments = given;
  const char *root = NULL, *command = NULL, *rest[3] = {NULL, NULL, NULL};
  int all = 0, by_force = 0, found = 0;
  for (int at = 1; at < count; at++) {
    const char *word = given[at];
    int is_last = at + 1 == count;
    if (command == NULL && !is_last && strcmp(word, "--root") == 0) root = given[++at];
    else if (command == NULL && !is_last && strcmp(word, "--log") == 0) at++;
    else if (command == NULL && !is_last && strcmp(word, "--log-format") == 0) at++;
    else if (command == NULL && *word != '-') command = word;
    else if (command != NULL && strcmp(word, "--all") == 0) all = 1;
    else if (command != NULL && strcmp(word, "--force") == 0) by_force = 1;
    else if (command == NULL || *word == '-' || found == 3) become_runc();
    else rest[found++] = word;
  }
  if (root == NULL || *root != '/' || command == NULL || found == 0) become_runc();
  if (!is_id(rest[0])) become_runc();
  if (snprintf(directory, sizeof directory, "%s/%s", root, rest[0]) >= PATH_MAX - 64) become_runc();
  if (strcmp(command, "start") == 0 && found == 1 && !all && !by_force) return start_it();
  if (strcmp(command, "delete") == 0 && found == 1 && !all) return delete_it(by_force);
  if (strcmp(command, "kill") == 0 && found == 2 && !by_force) {
    char *end;
    long sent = strtol(rest[1], &end, 10);
    if (*end == 0 && sent > 0 && sent <= SIGRTMAX) return kill_it((int)sent, all);
  }
  become_runc();
}
