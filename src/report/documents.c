/* Reading documents. See documents.h. */
#include "report/documents.h"

#include "base/mem.h"

#include <math.h>

static const char *text_of(json_t *value) {
    return json_is_string(value) ? json_string_value(value) : "";
}

static double number_of(json_t *value) {
    return json_is_number(value) ? json_number_value(value) : NAN;
}

const char *tp_document_text(json_t *object, const char *key) {
    return text_of(json_object_get(object, key));
}

double tp_document_number(json_t *object, const char *key) {
    return number_of(json_object_get(object, key));
}

const char **tp_document_texts(json_t *list, size_t *n) {
    *n = json_array_size(list);
    const char **texts = tp_alloc((*n + 1) * sizeof *texts);
    for (size_t i = 0; i < *n; i++) texts[i] = text_of(json_array_get(list, i));
    return texts;
}

double *tp_document_matrix(json_t *list, size_t n_columns, size_t *n) {
    *n = json_array_size(list);
    if (*n == 0 || n_columns == 0) return *n = 0, NULL;
    double *matrix = tp_alloc(*n * n_columns * sizeof *matrix);
    for (size_t i = 0; i < *n; i++)
        for (size_t c = 0; c < n_columns; c++)
            matrix[i * n_columns + c] = number_of(json_array_get(json_array_get(list, i), c));
    return matrix;
}
