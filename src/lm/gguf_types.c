/* The types of tensors as ggml numbers them. Those this program cannot read are in the table too: a file that holds one
 * can then be listed and checked, and what is refused has a name. See gguf.h. */
#include "lm/gguf.h"

static const struct {
    const char *name; /* NULL: no type has this number (any more) */
    tp_dtype dtype;
    int block;    /* numbers */
    size_t bytes; /* of a block */
} types[] = {
    [0] = {"F32", TP_F32, 1, 4},
    [1] = {"F16", TP_F16, 1, 2},
    [2] = {"Q4_0", TP_Q4_0, 32, 18},
    [3] = {"Q4_1", TP_Q4_1, 32, 20},
    [6] = {"Q5_0", TP_Q5_0, 32, 22},
    [7] = {"Q5_1", TP_Q5_1, 32, 24},
    [8] = {"Q8_0", TP_Q8_0, 32, 34},
    [9] = {"Q8_1", TP_UNKNOWN, 32, 36},
    [10] = {"Q2_K", TP_Q2_K, 256, 84},
    [11] = {"Q3_K", TP_Q3_K, 256, 110},
    [12] = {"Q4_K", TP_Q4_K, 256, 144},
    [13] = {"Q5_K", TP_Q5_K, 256, 176},
    [14] = {"Q6_K", TP_Q6_K, 256, 210},
    [15] = {"Q8_K", TP_UNKNOWN, 256, 292},
    [16] = {"IQ2_XXS", TP_UNKNOWN, 256, 66},
    [17] = {"IQ2_XS", TP_UNKNOWN, 256, 74},
    [18] = {"IQ3_XXS", TP_UNKNOWN, 256, 98},
    [19] = {"IQ1_S", TP_UNKNOWN, 256, 50},
    [20] = {"IQ4_NL", TP_UNKNOWN, 32, 18},
    [21] = {"IQ3_S", TP_UNKNOWN, 256, 110},
    [22] = {"IQ2_S", TP_UNKNOWN, 256, 82},
    [23] = {"IQ4_XS", TP_UNKNOWN, 256, 136},
    [24] = {"I8", TP_I8, 1, 1},
    [25] = {"I16", TP_I16, 1, 2},
    [26] = {"I32", TP_I32, 1, 4},
    [27] = {"I64", TP_I64, 1, 8},
    [28] = {"F64", TP_F64, 1, 8},
    [29] = {"IQ1_M", TP_UNKNOWN, 256, 56},
    [30] = {"BF16", TP_BF16, 1, 2},
    [34] = {"TQ1_0", TP_UNKNOWN, 256, 54},
    [35] = {"TQ2_0", TP_UNKNOWN, 256, 66},
    [39] = {"MXFP4", TP_UNKNOWN, 32, 17},
    [40] = {"NVFP4", TP_UNKNOWN, 64, 36},
    [41] = {"Q1_0", TP_UNKNOWN, 128, 18},
};

enum { N_TYPES = sizeof types / sizeof types[0] };

int tp_gguf_type_number(tp_dtype dtype) {
    for (int i = 0; i < N_TYPES && dtype != TP_UNKNOWN; i++)
        if (types[i].name && types[i].dtype == dtype) return i;
    return -1;
}

tp_dtype tp_gguf_dtype(uint32_t number, const char **name, int64_t *block, size_t *bytes) {
    bool known = number < N_TYPES && types[number].name != NULL;
    *name = known ? types[number].name : NULL;
    *block = known ? types[number].block : 0;
    *bytes = known ? types[number].bytes : 0;
    return known ? types[number].dtype : TP_UNKNOWN;
}
