/* `telepathy report`: one page about finished runs. */
#include "base/file.h"
#include "base/mem.h"
#include "cli/command.h"
#include "report/report.h"

#include <stdio.h>
#include <string.h>

static const char *const formats[] = {"html", "md", "csv", "json", NULL}; /* in the order of tp_report_format */

/* Where the page goes: --out, else DIR/report.html for HTML and the terminal for the rest. The caller frees it; NULL is
 * stdout. */
static tp_status place(tp_args *args, const char *const *folders, size_t n, tp_report_format format, char **out) {
    const char *given = tp_args_text(args, "out");
    *out = NULL;
    if (given && strcmp(given, "-") == 0) return TP_OK;
    if (given)
        *out = tp_strdup(given);
    else if (format == TP_REPORT_HTML && n > 1)
        return tp_args_refuse(args, "several folders make one page: --out must say where it goes (- for stdout)");
    else if (format == TP_REPORT_HTML)
        *out = tp_path_join(folders[0], "report.html");
    return TP_OK;
}

static tp_status run(tp_args *args) {
    const char *const *folders;
    size_t n = tp_args_list(args, "DIR", &folders);
    tp_report_format format = (tp_report_format)tp_args_choice(args, "format");
    char *path;
    TP_TRY(place(args, folders, n, format, &path));
    char *text = tp_report_make(folders, n, format);
    tp_status status = text ? TP_OK : tp_last_status();
    if (text && path) status = tp_write_file(path, text, strlen(text));
    if (text && path == NULL) fputs(text, stdout);
    if (status == TP_OK && path) printf("%s\n", path);
    tp_free(text);
    tp_free(path);
    return status;
}

const tp_command tp_cmd_report = {
    .name = "report",
    .summary = "write a page about finished runs: verdicts, tables, charts",
    .text =
        "DIR is the folder of a suite, a run that telepathy eval has measured, or a folder of such runs; several give "
        "one page about all. Runs that differ in nothing but the seed are one row with mean and deviation.\n\n"
        "The page says of each claim whether the numbers bear it out (\"beats the words alone: no, -1.2 points, "
        "p = 0.30\"), and shows the tables and charts it rests on. It is one HTML file that loads nothing and needs no "
        "script. Without --out it is DIR/report.html. The other formats hold the same tables and go to stdout: "
        "Markdown, "
        "CSV with a line for each cell, JSON.\n\n"
        "Nothing is run or measured: the same folders give the same bytes.",
    .examples = "telepathy report runs/paper\n"
                "telepathy report runs/trec-42 runs/trec-43 --out trec.html\n"
                "telepathy report runs/paper --format md\n",
    .options =
        (const tp_option[]){
            {.name = "DIR",
             .type = TP_OPT_PATH,
             .positional = true,
             .many = true,
             .required = true,
             .help = "folders of a suite or of runs"},
            {.name = "out",
             .letter = 'o',
             .type = TP_OPT_PATH,
             .value = "FILE",
             .help = "where the page goes; -: stdout"},
            {.name = "format", .type = TP_OPT_CHOICE, .choices = formats, .fallback = "html", .help = "of the page"},
            {0},
        },
    .run = run,
};
