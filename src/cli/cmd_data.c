/* `telepathy data`: which tasks there are, whether their files are whole, and how to get them. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/table.h"
#include "cli/command.h"
#include "data/catalogue.h"
#include "data/description.h"
#include "data/download.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void print_table(tp_table *table) {
    char *text = tp_table_text(table, TP_TABLE_PLAIN);
    fputs(text, stdout);
    tp_free(text);
    tp_table_free(table);
}

static void print_json(const json_t *value) {
    char *text = json_dumps(value, JSON_INDENT(2));
    puts(text);
    free(text);
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static json_int_t number_of(const json_t *object, const char *key) {
    return json_integer_value(json_object_get(object, key));
}

/* ---- list ---- */

static void count_cell(tp_table *table, const json_t *object, const char *key) {
    if (number_of(object, key) > 0)
        tp_table_cell(table, "%" JSON_INTEGER_FORMAT, number_of(object, key));
    else
        tp_table_cell(table, "%s", "-");
}

static tp_status list_tasks(bool json) {
    json_t *list = tp_catalogue(), *task;
    if (list == NULL) return tp_last_status();
    if (json) {
        print_json(list);
        json_decref(list);
        return TP_OK;
    }
    static const char *const headings[] = {"<task", "<kind", ">labels", ">train", ">test", "<licence", "<published at"};
    tp_table *table = tp_table_new();
    for (size_t i = 0; i < sizeof headings / sizeof headings[0]; i++) tp_table_column(table, headings[i]);
    size_t i;
    json_array_foreach(list, i, task) {
        tp_table_cell(table, "%s", text_of(task, "name"));
        tp_table_cell(table, "%s", text_of(task, "kind"));
        count_cell(table, task, "labels");
        count_cell(table, task, "train_rows");
        count_cell(table, task, "test_rows");
        tp_table_cell(table, "%s", text_of(task, "licence"));
        tp_table_cell(table, "%s", text_of(task, "home")[0] ? text_of(task, "home") : "made by the program");
    }
    print_table(table);
    json_decref(list);
    return TP_OK;
}

/* ---- check ---- */

static void print_file(const json_t *file) {
    printf("%s: %s, %" JSON_INTEGER_FORMAT " rows", text_of(file, "split"), text_of(file, "path"),
           number_of(file, "rows"));
    if (json_object_get(file, "expected_rows"))
        printf(" (expected: %" JSON_INTEGER_FORMAT ")", number_of(file, "expected_rows"));
    printf("\n  empty texts %" JSON_INTEGER_FORMAT ", repeated texts %" JSON_INTEGER_FORMAT
           " (with another label or answer: %" JSON_INTEGER_FORMAT ")\n",
           number_of(file, "empty_texts"), number_of(file, "repeated_texts"), number_of(file, "contradictions"));
    const char *label;
    json_t *rows, *labels = json_object_get(file, "labels"), *sentence;
    if (json_object_size(labels) > 0) {
        printf("  rows by label:");
        size_t n = 0;
        json_object_foreach(labels, label, rows)
            printf("%s %s %" JSON_INTEGER_FORMAT, n++ ? "," : "", label, json_integer_value(rows));
        printf("\n");
    }
    size_t i;
    json_array_foreach(json_object_get(file, "problems"), i, sentence)
        printf("  wrong: %s\n", json_string_value(sentence));
    json_int_t more = number_of(file, "n_problems") - (json_int_t)json_array_size(json_object_get(file, "problems"));
    if (more > 0) printf("  ... and %" JSON_INTEGER_FORMAT " more\n", more);
}

static tp_status check(tp_args *args, const char *task) {
    const char *data = tp_args_text(args, "data"), *test = tp_args_text(args, "test");
    bool own = tp_path_exists(task) && !tp_is_dir(task);
    if (own && data) return tp_args_refuse(args, "%s is a file of your own; --data goes with a built-in task", task);
    if (!own && test) return tp_args_refuse(args, "--test goes with a file of your own; %s is none", task);
    json_t *found = tp_task_check(&(tp_task_options){.name = own ? NULL : task,
                                                     .data = data,
                                                     .train_file = own ? task : NULL,
                                                     .test_file = test,
                                                     .text_column = tp_args_text(args, "text-column"),
                                                     .label_column = tp_args_text(args, "label-column")},
                                  tp_args_progress(args));
    if (found == NULL) return tp_last_status();
    json_int_t problems = number_of(found, "problems");
    if (tp_args_flag(args, "json")) {
        print_json(found);
    } else {
        size_t i;
        json_t *file;
        json_array_foreach(json_object_get(found, "files"), i, file) print_file(file);
        if (json_object_get(found, "no_train"))
            printf("train: %s\n", text_of(found, "no_train"));
        else
            printf("texts in both train and test: %" JSON_INTEGER_FORMAT "\n", number_of(found, "overlap"));
    }
    json_decref(found);
    if (problems == 0) return TP_OK;
    return tp_fail(TP_ERR_FORMAT, "%s: %" JSON_INTEGER_FORMAT " problem%s found", task, problems,
                   problems == 1 ? "" : "s");
}

/* ---- get ---- */

static tp_status read_published(json_t *entry, const char *file, tp_published *out) {
    tp_json_reader r;
    tp_json_begin(&r, entry, file);
    tp_json_require(&r, "name");
    tp_json_require(&r, "url");
    tp_json_require(&r, "size");
    tp_json_require(&r, "sha256");
    *out = (tp_published){.name = tp_json_text(&r, "name", ""),
                          .url = tp_json_text(&r, "url", ""),
                          .size = tp_json_int(&r, "size", 0, 1, INT64_MAX),
                          .sha256 = tp_json_text(&r, "sha256", "")};
    return tp_json_end(&r, true);
}

static tp_status fetch_all(const tp_description *d, const char *task, const char *out, tp_progress *progress) {
    TP_TRY(tp_make_dirs(out));
    size_t i;
    json_t *entry;
    json_array_foreach(d->published, i, entry) {
        tp_published file;
        bool already;
        TP_TRY(read_published(entry, d->file, &file));
        TP_TRY(tp_download(&file, out, progress, &already));
        printf("%s/%s: %s, %lld bytes, SHA-256 as published%s\n", out, file.name,
               already ? "was there already" : "fetched", (long long)file.size,
               tp_ends_with(file.name, ".zip") ? "; unpack it to use it" : "");
    }
    printf("%s: licence: %s; %s\n", task, d->licence, d->home);
    return TP_OK;
}

static tp_status get(tp_args *args, const char *task) {
    const char *out = tp_args_text(args, "out");
    if (out == NULL) return tp_args_refuse(args, "get needs --out, the folder for the files");
    tp_arena *arena = tp_arena_new();
    tp_task described = {0};
    tp_description d;
    tp_status status = tp_description_load(task, arena, &described, &d);
    if (status == TP_OK) {
        if (d.format == NULL)
            status = tp_fail(TP_ERR_ARGUMENT, "the task %s is made by the program; there is nothing to fetch", task);
        else if (json_array_size(d.published) == 0)
            status = tp_fail(TP_ERR_UNSUPPORTED,
                             "no address with a checksum is on record for the files of %s; see %s and put them into a "
                             "folder yourself",
                             task, d.home);
        else
            status = fetch_all(&d, task, out, tp_args_progress(args));
        tp_description_free(&d);
    }
    tp_arena_free(arena);
    return status;
}

static const char *const actions[] = {"list", "get", "check", NULL};

static tp_status run(tp_args *args) {
    const char *task = tp_args_text(args, "TASK");
    int action = tp_args_choice(args, "ACTION");
    if (action == 0) return task ? tp_args_refuse(args, "list takes no task") : list_tasks(tp_args_flag(args, "json"));
    if (task == NULL) return tp_args_refuse(args, "%s needs the name of a task", actions[action]);
    return action == 1 ? get(args, task) : check(args, task);
}

const tp_command tp_cmd_data = {
    .name = "data",
    .summary = "list the tasks, check their files, fetch them",
    .text =
        "`list` shows the built-in tasks: their kind (classes, options of a question, free answers), how many rows the "
        "official files have, licence and address.\n\n"
        "`check` reads all files of a task, or a file of your own (CSV, TSV, JSONL), and says what is in them: rows, "
        "rows by label, empty and repeated texts, texts that are in train and test, and for every row that cannot be "
        "read file, line and reason. It fails if there is one.\n\n"
        "`get` fetches the published files into --out. A download that broke off goes on where it stopped; a file gets "
        "its name once its size and SHA-256 are right. Mind the licence that is printed. Files that are only published "
        "inside an archive (.zip) have to be unpacked by you.",
    .examples = "telepathy data list\n"
                "telepathy data get trec --out data/trec\n"
                "telepathy data check trec --data data\n"
                "telepathy data check tickets.csv --label-column team\n",
    .options =
        (const tp_option[]){
            {.name = "ACTION",
             .type = TP_OPT_CHOICE,
             .choices = actions,
             .positional = true,
             .required = true,
             .help = "what to do"},
            {.name = "TASK",
             .type = TP_OPT_PATH,
             .positional = true,
             .help = "a built-in task, or to check: your file"},
            {.name = "data",
             .type = TP_OPT_PATH,
             .value = "DIR",
             .help = "folder with the original files, or above it"},
            {.name = "test", .type = TP_OPT_PATH, .value = "FILE", .help = "your test file, to be checked with yours"},
            {.name = "text-column", .type = TP_OPT_TEXT, .value = "NAME", .help = "of your files", .fallback = "text"},
            {.name = "label-column",
             .type = TP_OPT_TEXT,
             .value = "NAME",
             .help = "of your files",
             .fallback = "label"},
            {.name = "out", .type = TP_OPT_PATH, .value = "DIR", .help = "folder that get puts the files into"},
            TP_OPTION_JSON,
            {0},
        },
    .run = run,
};
