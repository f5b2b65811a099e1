/* Forms of a weight that are made on demand. See weight.h. */
#include "tensor/weight.h"

#include "base/mem.h"
#include "tensor/kernels.h"
#include "tensor/quant.h"
#include "tensor/quant_kernels.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t forms_lock = PTHREAD_MUTEX_INITIALIZER;

/* n numbers from the one numbered `from` on; of a block type both are whole blocks. */
static void convert(const tp_weight *w, int64_t from, int64_t n, float *out) {
    const tp_kernels *cpu = tp_cpu();
    size_t at = 0;
    switch (w->dtype) {
    case TP_BF16:
        cpu->bf16_to_f32(out, (const uint16_t *)w->data + from, n);
        break;
    case TP_F16:
        cpu->f16_to_f32(out, (const uint16_t *)w->data + from, n);
        break;
    case TP_F32:
        memcpy(out, (const float *)w->data + from, (size_t)n * sizeof(float));
        break;
    default:
        tp_dtype_bytes(w->dtype, from, &at);
        if (tp_cpu_quant())
            tp_cpu_quant()->dequantize(w->dtype, (const unsigned char *)w->data + at, n, out);
        else
            tp_dequantize_row(w->dtype, (const unsigned char *)w->data + at, n, out);
        break;
    }
}

/* The form behind *slot, made by the first who asks. */
static const float *form(const tp_weight *w, float **slot, bool round) {
    float *made = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
    if (made) return made;
    pthread_mutex_lock(&forms_lock);
    made = *slot;
    if (made == NULL) {
        made = tp_alloc((size_t)(w->rows * w->cols) * sizeof(float) + TP_ALIGN);
#pragma omp parallel for
        for (int64_t i = 0; i < w->rows; i++) {
            convert(w, i * w->cols, w->cols, made + i * w->cols);
            if (round) tp_cpu()->round_bf16(made + i * w->cols, made + i * w->cols, w->cols);
        }
        __atomic_store_n(slot, made, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&forms_lock);
    return made;
}

const float *tp_weight_f32(const tp_weight *w, bool round_bf16) {
    tp_weight *owner = (tp_weight *)(uintptr_t)w; /* the on-demand forms are a cache: logically const */
    if (w->dtype == TP_F32 && !round_bf16) return w->data;
    if (w->dtype == TP_BF16 || !round_bf16) return form(w, &owner->wide, false); /* a bf16 number needs no rounding */
    return form(w, &owner->rounded, true);
}

void tp_weight_part(const tp_weight *w, int64_t i, int64_t at, int64_t n, float *out) {
    convert(w, i * w->cols + at, n, out);
}

void tp_weight_row(const tp_weight *w, int64_t i, float *out) {
    convert(w, i * w->cols, w->cols, out);
}

void tp_weight_release(tp_weight *w) {
    tp_free(w->wide);
    tp_free(w->rounded);
    free(w->packed[0]);
    free(w->packed[1]);
    w->wide = w->rounded = NULL;
    w->packed[0] = w->packed[1] = NULL;
}
