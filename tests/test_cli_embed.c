/* `telepathy embed`, the real program: the same vectors on stdout, as JSON and in every kind of file, equal to what the
 * library gives; cosines; and what it refuses. */
#include "check.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/npy.h"
#include "base/str.h"
#include "lm/embed.h"

#include <math.h>
#include <sys/wait.h>

#define WREN TP_SOURCE_DIR "/models/wren"

static char *dir;

static char *in_dir(const char *name) {
    static char path[2][4096];
    static int next;
    next = 1 - next;
    snprintf(path[next], sizeof path[next], "%s/%s", dir, name);
    return path[next];
}

/* Runs `telepathy embed` through the shell; the exit code. What it printed is in dir/out and dir/err. */
static int embed(const char *input, const char *arguments) {
    char command[8192];
    snprintf(command, sizeof command, "printf '%s' | '%s/telepathy' embed -q %s >'%s/out' 2>'%s/err'", input,
             TP_BINARY_DIR, arguments, dir, dir);
    int status = system(command);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static char *output(const char *name) {
    char *text;
    size_t n;
    check_ok(tp_read_file(in_dir(name), 0, &text, &n));
    return text;
}

static void expect(const char *input, const char *arguments) {
    if (embed(input, arguments) == 0) return;
    char *err = output("err");
    fail_msg("telepathy embed %s: %s", arguments, err);
}

static void refuse(const char *arguments, int code, const char *says) {
    int got = embed("", arguments);
    char *err = output("err"), *out = output("out");
    if (got != code || strstr(err, says) == NULL || *out)
        fail_msg("telepathy embed %s: code %d, `%s`; expected were %d and `%s`", arguments, got, err, code, says);
    tp_free(err);
    tp_free(out);
}

static const char *const texts[] = {"How many moons has Mars?", "Who wrote Hamlet?", "x"};

/* What the library computes with these settings, [3, d]. */
static float *library(int layer, tp_pooling pooling, bool normalize, int *d) {
    tp_embedder *e = tp_embedder_load(WREN);
    check_not_null(e);
    *d = e->d_model;
    if (layer >= 0) e->layer = layer;
    e->pooling = pooling;
    e->normalize = normalize;
    float *rows = tp_alloc((size_t)(3 * *d) * sizeof *rows);
    check_ok(tp_embedder_texts(e, texts, 3, TP_MATH_F32, NULL, rows));
    tp_embedder_free(e);
    return rows;
}

static void close_rows(const float *got, const float *wanted, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        assert_true(fabs((double)got[i] - wanted[i]) <= 1e-5 * (1 + fabs((double)wanted[i])));
}

#define TEXTS "'How many moons has Mars?' 'Who wrote Hamlet?' x"

static void every_way_out_has_the_same_vectors(void **state) {
    (void)state;
    int d;
    float *rows = library(2, TP_POOL_LAST, true, &d);
    char arguments[4096];
    snprintf(arguments, sizeof arguments, "-m %s " TEXTS " --layer 2 --pool last --normalize -o %s/x.npy", WREN, dir);
    expect("", arguments);
    tp_npy npy;
    check_ok(tp_npy_open(in_dir("x.npy"), &npy));
    assert_true(npy.dtype == TP_F32 && npy.n_dims == 2 && npy.shape[0] == 3 && npy.shape[1] == d);
    close_rows(npy.data, rows, 3 * d);
    double length = 0;
    for (int j = 0; j < d; j++) length += (double)((const float *)npy.data)[j] * ((const float *)npy.data)[j];
    assert_true(fabs(length - 1) < 1e-5);
    const float *first = npy.data;

    strcpy(strrchr(arguments, '.'), ".safetensors");
    expect("", arguments);
    tp_safetensors *st = tp_safetensors_open(in_dir("x.safetensors"));
    check_not_null(st);
    assert_memory_equal(tp_safetensors_find(st, "embeddings")->data, first, (size_t)(3 * d) * sizeof(float));
    assert_string_equal(tp_safetensors_metadata(st, "layer"), "2");
    assert_string_equal(tp_safetensors_metadata(st, "pooling"), "last");
    assert_int_equal(strlen(tp_safetensors_metadata(st, "model")), 32);
    tp_safetensors_close(st);

    strcpy(strrchr(arguments, '.'), ".jsonl");
    expect("", arguments);
    *strstr(arguments, "-o ") = '\0';
    strcat(arguments, "--json");
    expect("", arguments);
    char *written = output("x.jsonl"), *printed = output("out");
    assert_string_equal(written, printed);
    char *line = printed;
    for (int i = 0; i < 3; i++, line = strchr(line, '\n') + 1) {
        json_t *row = json_loadb(line, strcspn(line, "\n"), 0, NULL), *numbers = json_object_get(row, "embedding");
        assert_string_equal(json_string_value(json_object_get(row, "text")), texts[i]);
        assert_int_equal(json_array_size(numbers), d);
        for (int j = 0; j < d; j++)
            assert_true((float)json_real_value(json_array_get(numbers, (size_t)j)) == first[i * d + j]);
        json_decref(row);
    }
    assert_int_equal(*line, 0);
    tp_free(written);
    tp_free(printed);

    *strstr(arguments, "--json") = '\0';
    expect("", arguments);
    printed = line = output("out");
    for (int i = 0; i < 3 * d; i++) assert_true(strtof(line, &line) == first[i]);
    assert_string_equal(line, "\n");
    tp_free(printed);
    tp_npy_close(&npy);
    tp_free(rows);
}

/* By default a decoder gives the mean of its last states; lines may come from stdin or a file, with CR or without. */
static void texts_come_from_stdin_and_files(void **state) {
    (void)state;
    int d;
    float *rows = library(-1, TP_POOL_MEAN, false, &d);
    char arguments[4096];
    check_ok(tp_write_file(in_dir("lines.txt"), "How many moons has Mars?\r\nWho wrote Hamlet?\nx", 45));
    for (int i = 0; i < 3; i++) {
        char *file = tp_format("-f '%s/lines.txt'", dir);
        snprintf(arguments, sizeof arguments, "%s %s --out %s/y.npy", WREN, i == 2 ? file : i == 1 ? "-f -" : "", dir);
        tp_free(file);
        expect("How many moons has Mars?\\nWho wrote Hamlet?\\nx\\n", arguments);
        tp_npy npy;
        check_ok(tp_npy_open(in_dir("y.npy"), &npy));
        assert_int_equal(npy.n, 3 * d);
        close_rows(npy.data, rows, 3 * d);
        tp_npy_close(&npy);
    }
    tp_free(rows);
}

static void similarity_shows_cosines(void **state) {
    (void)state;
    int d;
    float *rows = library(-1, TP_POOL_MEAN, false, &d);
    expect("", WREN " " TEXTS " --similarity --json");
    char *text = output("out");
    json_t *matrix = json_loads(text, 0, NULL);
    assert_int_equal(json_array_size(matrix), 3);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            double cosine = json_number_value(json_array_get(json_array_get(matrix, (size_t)i), (size_t)j));
            assert_true(fabs(cosine - tp_cosine(rows + i * d, rows + j * d, d)) < 1e-5);
            if (i == j) assert_true(fabs(cosine - 1) < 1e-6);
        }
    json_decref(matrix);
    tp_free(text);
    expect("", WREN " " TEXTS " --similarity");
    text = output("out");
    assert_non_null(strstr(text, "1  How many moons has Mars?  1.0000  "));
    tp_free(text);
    tp_free(rows);
    const float zeros[2] = {0}, ones[2] = {1, 1};
    assert_true(tp_cosine(zeros, ones, 2) == 0);
}

static void what_makes_no_sense_is_refused(void **state) {
    (void)state;
    refuse(WREN " x --layer 99", 2, "--layer is 99");
    refuse(WREN " x --pool max", 2, "max");
    refuse(WREN " x -o rows.csv", 2, "rows.csv");
    refuse(WREN " x -f also", 2, "not both");
    refuse(WREN " -f /no/where", 1, "/no/where");
    refuse(WREN, 1, "no text");
    refuse("no/model x", 1, "hf download no/model");
}

static int make_dir(void **state) {
    (void)state;
    dir = check_temp_dir();
    setenv("HF_HUB_CACHE", dir, 1);
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    check_remove_dir(dir);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_out_has_the_same_vectors),
        cmocka_unit_test(texts_come_from_stdin_and_files),
        cmocka_unit_test(similarity_shows_cosines),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
