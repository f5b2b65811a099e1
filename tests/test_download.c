/* Fetching files: against a small HTTP server of this test's own, never the network. The server's paths say how it
 * behaves; what it was asked for stands in a log. */
#include "check.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "data/download.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { SIZE = 100000 };

static char *dir;                   /* a temporary folder for the whole program */
static unsigned char content[SIZE]; /* of the file as it was published */
static char digest[65];
static pid_t server;
static int port;

static char *in_dir(const char *name) {
    return tp_path_join(dir, name);
}

/* ---- the server ---- */

static void send_all(int to, const void *bytes, size_t n) {
    const char *p = bytes;
    while (n > 0) {
        ssize_t sent = send(to, p, n, MSG_NOSIGNAL);
        if (sent <= 0) return;
        p += sent;
        n -= (size_t)sent;
    }
}

static void answer(int to, const char *request, int log) {
    long from = 0;
    const char *range = strstr(request, "Range: bytes=");
    bool ranges = strstr(request, "GET /plain") == NULL, cut = strstr(request, "GET /cut") != NULL;
    if (range) from = atol(range + strlen("Range: bytes="));
    dprintf(log, "%.*s %ld\n", (int)strcspn(request + 4, " "), request + 4, range ? from : -1);
    if (strstr(request, "GET /missing")) {
        dprintf(to, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    }
    if (strstr(request, "GET /moved")) {
        dprintf(to, "HTTP/1.1 302 Found\r\nLocation: /file\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    }
    static unsigned char bytes[SIZE + 10];
    memcpy(bytes, content, SIZE);
    if (strstr(request, "GET /other")) bytes[77] ^= 1;
    long size = strstr(request, "GET /longer") ? SIZE + 10 : strstr(request, "GET /shorter") ? SIZE - 10 : SIZE;
    if (range && ranges)
        dprintf(to, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %ld-%ld/%ld\r\n", from, size - 1, size);
    else
        dprintf(to, "HTTP/1.1 200 OK\r\n");
    if (!ranges) from = 0;
    dprintf(to, "Content-Length: %ld\r\nConnection: close\r\n\r\n", size - from);
    send_all(to, bytes + from, (size_t)(cut && from == 0 ? 40000 : size - from));
}

static void serve(int listener) {
    char *path = in_dir("log");
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    for (;;) {
        int to = accept(listener, NULL, NULL);
        if (to < 0) _exit(0);
        char request[4096] = "";
        size_t n = 0;
        for (ssize_t got; strstr(request, "\r\n\r\n") == NULL && n + 1 < sizeof request; request[n] = '\0') {
            got = recv(to, request + n, sizeof request - n - 1, 0);
            if (got <= 0) break;
            n += (size_t)got;
        }
        answer(to, request, log);
        shutdown(to, SHUT_WR);
        while (recv(to, request, sizeof request, 0) > 0) continue; /* a reset would take what is still on its way */
        close(to);
    }
}

static int start(void **state) {
    (void)state;
    dir = check_temp_dir();
    for (size_t i = 0; i < SIZE; i++) content[i] = (unsigned char)(i * 2654435761u >> 13);
    char *path = in_dir("original");
    check_ok(tp_write_file(path, content, SIZE));
    check_ok(tp_sha256_file(path, digest));
    tp_free(path);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    port = ntohs(address.sin_port);
    setenv("no_proxy", "*", 1);
    server = fork();
    if (server == 0) serve(listener);
    close(listener);
    return server > 0 ? 0 : -1;
}

static int stop(void **state) {
    (void)state;
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    check_remove_dir(dir);
    return 0;
}

/* ---- what is expected of it ---- */

static char address[256];

/* The published file as the server has it at `path`. */
static tp_published published(const char *path) {
    snprintf(address, sizeof address, "http://127.0.0.1:%d/%s", port, path);
    return (tp_published){.name = path, .url = address, .size = SIZE, .sha256 = digest};
}

static tp_status fetch(const char *path, bool *already) {
    tp_published file = published(path);
    return tp_download(&file, dir, NULL, already);
}

static void put_part(const char *name, size_t n) {
    char *file = tp_format("%s/%s.part", dir, name);
    check_ok(tp_write_file(file, content, n));
    tp_free(file);
}

static bool is_there(const char *name) {
    char *path = in_dir(name);
    bool there = tp_path_exists(path);
    tp_free(path);
    return there;
}

static void check_fetched(const char *name) {
    char *path = in_dir(name), *bytes, *part = tp_format("%s.part", path);
    size_t n;
    check_ok(tp_read_file(path, 0, &bytes, &n));
    assert_int_equal(n, SIZE);
    assert_memory_equal(bytes, content, SIZE);
    assert_false(tp_path_exists(part));
    tp_free(bytes);
    tp_free(part);
    tp_free(path);
}

/* How often the server was asked for the path from this byte on (-1: without a range). */
static int asked(const char *path, long from) {
    char *file = in_dir("log"), *log, *line = tp_format("/%s %ld\n", path, from);
    size_t n;
    int count = 0;
    check_ok(tp_read_file(file, 0, &log, &n));
    for (const char *p = log; (p = strstr(p, line)) != NULL; p++) count++;
    tp_free(log);
    tp_free(line);
    tp_free(file);
    return count;
}

static void a_file_is_fetched_once(void **state) {
    (void)state;
    bool already;
    check_ok(fetch("file", &already));
    assert_false(already);
    check_fetched("file");
    check_ok(fetch("file", &already)); /* there and right: nobody is asked again */
    assert_true(already);
    assert_int_equal(asked("file", -1), 1);
    check_ok(fetch("moved", &already)); /* redirected */
    check_fetched("moved");
    char *path = in_dir("file");
    check_ok(tp_write_file(path, "mine", 4));
    assert_int_equal(fetch("file", &already), TP_ERR_FORMAT); /* something else under its name is the user's */
    assert_non_null(strstr(tp_last_error(), "not overwritten: "));
    assert_non_null(strstr(tp_last_error(), "has 4 bytes, 100000 were published"));
    tp_free(path);
}

static void a_broken_download_goes_on(void **state) {
    (void)state;
    assert_int_equal(fetch("cut", NULL), TP_ERR_IO);
    assert_non_null(strstr(tp_last_error(), "40000 of 100000 bytes are in"));
    assert_false(is_there("cut"));
    check_ok(fetch("cut", NULL));
    check_fetched("cut");
    assert_int_equal(asked("cut", -1), 1);
    assert_int_equal(asked("cut", 40000), 1);

    put_part("plain", 1234); /* a server without ranges sends all of it again */
    check_ok(fetch("plain", NULL));
    check_fetched("plain");
    assert_int_equal(asked("plain", 1234), 1);
    assert_int_equal(asked("plain", -1), 1);

    put_part("whole", SIZE); /* killed before it was renamed */
    check_ok(fetch("whole", NULL));
    check_fetched("whole");
    assert_int_equal(asked("whole", -1) + asked("whole", SIZE), 0);
}

static void what_was_not_published_is_refused(void **state) {
    (void)state;
    assert_int_equal(fetch("other", NULL), TP_ERR_FORMAT);
    assert_non_null(strstr(tp_last_error(), "has the SHA-256 "));
    assert_non_null(strstr(tp_last_error(), digest));
    assert_false(is_there("other"));
    assert_int_equal(fetch("longer", NULL), TP_ERR_FORMAT);
    assert_non_null(strstr(tp_last_error(), "more than the published 100000 bytes arrived"));
    assert_int_equal(fetch("shorter", NULL), TP_ERR_FORMAT);
    assert_non_null(strstr(tp_last_error(), "99990 bytes arrived, 100000 were published"));
    assert_int_equal(fetch("missing", NULL), TP_ERR_IO);
    assert_non_null(strstr(tp_last_error(), "404"));
    assert_false(is_there("longer") || is_there("shorter") || is_there("missing"));
    put_part("file2", 5000); /* the beginning is not that of the file: found out at the end, and begun anew */
    char *part = in_dir("file2.part");
    FILE *f = fopen(part, "r+");
    fputc(content[0] ^ 1, f);
    fclose(f);
    assert_int_equal(fetch("file2", NULL), TP_ERR_FORMAT);
    check_ok(fetch("file2", NULL));
    check_fetched("file2");
    tp_free(part);
}

static void files_need_no_server(void **state) {
    (void)state;
    char *url = tp_format("file://%s/original", dir);
    tp_published file = {.name = "copy", .url = url, .size = SIZE, .sha256 = digest};
    put_part("copy", 777);
    check_ok(tp_download(&file, dir, NULL, NULL));
    check_fetched("copy");
    file.name = "gone";
    file.url = "file:///nowhere/at/all";
    assert_int_equal(tp_download(&file, dir, NULL, NULL), TP_ERR_IO);
    file.url = "ftp://127.0.0.1/x";
    assert_int_equal(tp_download(&file, dir, NULL, NULL), TP_ERR_IO);
    tp_free(url);
}

static void two_at_a_time_are_one_too_many(void **state) {
    (void)state;
    put_part("locked", 10);
    char *part = in_dir("locked.part");
    int held = open(part, O_RDONLY);
    assert_int_equal(flock(held, LOCK_EX), 0);
    assert_int_equal(fetch("locked", NULL), TP_ERR_IO);
    assert_non_null(strstr(tp_last_error(), "is being fetched by another process"));
    close(held);
    check_ok(fetch("locked", NULL));
    check_fetched("locked");
    tp_free(part);
}

static void digests_are_those_of_the_standard(void **state) {
    (void)state;
    char *path = in_dir("abc"), hex[65]; /* FIPS 180-4's first example */
    check_ok(tp_write_file(path, "abc", 3));
    check_ok(tp_sha256_file(path, hex));
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    tp_free(path);
    assert_int_equal(tp_sha256_file("/nowhere/at/all", hex), TP_ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_fetched_once),
        cmocka_unit_test(a_broken_download_goes_on),
        cmocka_unit_test(what_was_not_published_is_refused),
        cmocka_unit_test(files_need_no_server),
        cmocka_unit_test(two_at_a_time_are_one_too_many),
        cmocka_unit_test(digests_are_those_of_the_standard),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
