/* oneDNN's matmul primitive for both major versions of its C API. See onednn.h. */
#include "tensor/cpu/onednn.h"

#include <dnnl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- what differs between 2.x and 3.x ---- */

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t description;             /* a handle */
typedef const_dnnl_memory_desc_t const_description; /* what is asked of a primitive */

static bool describe_like(description *d, const_description like) {
    return dnnl_memory_desc_clone(d, like) == dnnl_success;
}

static const_description as_const(const description *d) {
    return *d;
}

static bool describe_plain(description *d, int64_t rows, int64_t cols, dnnl_data_type_t type, bool transposed) {
    dnnl_dims_t dims = {rows, cols}, strides = {transposed ? 1 : cols, transposed ? rows : 1};
    return dnnl_memory_desc_create_with_strides(d, 2, dims, type, strides) == dnnl_success;
}

static bool describe_any(description *d, int64_t rows, int64_t cols, dnnl_data_type_t type) {
    dnnl_dims_t dims = {rows, cols};
    return dnnl_memory_desc_create_with_tag(d, 2, dims, type, dnnl_format_tag_any) == dnnl_success;
}

static void forget(description *d) {
    dnnl_memory_desc_destroy(*d);
}

static bool choose(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const description *a, const description *b,
                   const description *c, dnnl_primitive_attr_t attr) {
    return dnnl_matmul_primitive_desc_create(out, engine, *a, *b, NULL, *c, attr) == dnnl_success;
}
#else
typedef dnnl_memory_desc_t description;              /* a struct */
typedef const dnnl_memory_desc_t *const_description; /* what is asked of a primitive */

static bool describe_like(description *d, const_description like) {
    *d = *like;
    return true;
}

static const_description as_const(const description *d) {
    return d;
}

static bool describe_plain(description *d, int64_t rows, int64_t cols, dnnl_data_type_t type, bool transposed) {
    dnnl_dims_t dims = {rows, cols}, strides = {transposed ? 1 : cols, transposed ? rows : 1};
    return dnnl_memory_desc_init_by_strides(d, 2, dims, type, strides) == dnnl_success;
}

static bool describe_any(description *d, int64_t rows, int64_t cols, dnnl_data_type_t type) {
    dnnl_dims_t dims = {rows, cols};
    return dnnl_memory_desc_init_by_tag(d, 2, dims, type, dnnl_format_tag_any) == dnnl_success;
}

static void forget(description *d) {
    (void)d;
}

static bool choose(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const description *a, const description *b,
                   const description *c, dnnl_primitive_attr_t attr) {
    dnnl_matmul_desc_t matmul;
    return dnnl_matmul_desc_init(&matmul, a, b, NULL, c) == dnnl_success &&
           dnnl_primitive_desc_create(out, &matmul, attr, engine, NULL) == dnnl_success;
}
#endif

/* ---- primitives, made once per shape ---- */

static struct {
    pthread_mutex_t lock;
    dnnl_engine_t engine;
    bool failed;
} library = {.lock = PTHREAD_MUTEX_INITIALIZER};

static dnnl_engine_t the_engine(void) {
    if (library.engine == NULL && !library.failed)
        library.failed = dnnl_engine_create(&library.engine, dnnl_cpu, 0) != dnnl_success;
    return library.engine;
}

typedef struct {
    tp_product key;
    bool usable; /* false: the library has no such product; remembered, so that it is asked once */
    dnnl_primitive_t primitive;
    dnnl_primitive_desc_t desc; /* owns the memory descriptions that are asked of it */
} entry;

enum { SLOTS = 1 << 12 }; /* shapes; a full table starts over */
static entry *table[SLOTS];
static int n_entries;

static uint64_t hash(const tp_product *p) {
    uint64_t h = 1469598103934665603u, parts[4] = {(uint64_t)p->m, (uint64_t)p->n, (uint64_t)p->k,
                                                   (uint64_t)(p->bf16 | p->a_transposed << 1 | p->b_transposed << 2 |
                                                              p->accumulate << 3 | p->b_packed << 4)};
    for (int i = 0; i < 4; i++) h = (h ^ parts[i]) * 1099511628211u, h ^= h >> 29;
    return h;
}

static bool same(const tp_product *a, const tp_product *b) {
    return a->m == b->m && a->n == b->n && a->k == b->k && a->bf16 == b->bf16 && a->a_transposed == b->a_transposed &&
           a->b_transposed == b->b_transposed && a->accumulate == b->accumulate && a->b_packed == b->b_packed;
}

/* A packed B is ordered as the library likes it for this many rows of A; other row counts take it as it is. */
enum { PACKING_ROWS = 512 };

static const entry *find(const tp_product *p);

static bool describe_packed(description *b, const tp_product *p, dnnl_data_type_t type) {
    if (p->m == PACKING_ROWS && !p->accumulate) return describe_any(b, p->k, p->n, type);
    tp_product usual = *p;
    usual.m = PACKING_ROWS;
    usual.accumulate = false;
    const entry *e = find(&usual);
    return e && e->usable && describe_like(b, dnnl_primitive_desc_query_md(e->desc, dnnl_query_weights_md, 0));
}

static bool make_primitive(entry *e) {
    const tp_product *p = &e->key;
    dnnl_engine_t engine = the_engine();
    dnnl_data_type_t type = p->bf16 ? dnnl_bf16 : dnnl_f32;
    description a, b, c;
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t sum;
    if (engine == NULL || dnnl_primitive_attr_create(&attr) != dnnl_success) return false;
    if (p->accumulate && dnnl_post_ops_create(&sum) == dnnl_success) {
        dnnl_post_ops_append_sum(sum, 1.0f
#if DNNL_VERSION_MAJOR >= 3
                                 ,
                                 0, dnnl_data_type_undef
#endif
        );
        dnnl_primitive_attr_set_post_ops(attr, sum);
        dnnl_post_ops_destroy(sum);
    }
    bool ok = describe_plain(&a, p->m, p->k, type, p->a_transposed) && describe_plain(&c, p->m, p->n, dnnl_f32, false);
    if (ok && p->b_packed)
        ok = describe_packed(&b, p, type);
    else if (ok)
        ok = describe_plain(&b, p->k, p->n, type, p->b_transposed);
    if (ok) {
        ok =
            choose(&e->desc, engine, &a, &b, &c, attr) && dnnl_primitive_create(&e->primitive, e->desc) == dnnl_success;
        forget(&a), forget(&b), forget(&c);
    }
    dnnl_primitive_attr_destroy(attr);
    return ok;
}

/* The primitive for a product; the lock is held. */
static const entry *find(const tp_product *p) {
    if (n_entries >
        SLOTS / 2) { /* more shapes than any training has: begin again (the old ones stay, one may be running) */
        memset(table, 0, sizeof table);
        n_entries = 0;
    }
    uint64_t at = hash(p) % SLOTS;
    while (table[at] && !same(&table[at]->key, p)) at = (at + 1) % SLOTS;
    if (table[at]) return table[at];
    entry *e = calloc(1, sizeof *e);
    if (e == NULL) return NULL;
    e->key = *p;
    e->usable = make_primitive(e); /* may itself find and store another entry */
    while (table[at]) at = (at + 1) % SLOTS;
    table[at] = e;
    n_entries++;
    return e;
}

static const entry *find_locked(const tp_product *p) {
    pthread_mutex_lock(&library.lock);
    const entry *e = find(p);
    pthread_mutex_unlock(&library.lock);
    return e && e->usable ? e : NULL;
}

static dnnl_stream_t this_threads_stream(void) {
    static _Thread_local dnnl_stream_t stream;
    if (stream == NULL) dnnl_stream_create(&stream, library.engine, dnnl_stream_default_flags);
    return stream;
}

/* ---- running ---- */

bool tp_onednn_product(const tp_product *p, const void *a, const void *b, float *c) {
    const entry *e = find_locked(p);
    if (e == NULL) return false;
    const void *buffers[3] = {a, b, c};
    const dnnl_query_t what[3] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md};
    const int args[3] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    dnnl_exec_arg_t list[3];
    bool ok = true;
    int made = 0;
    for (; made < 3 && ok; made++) {
        list[made].arg = args[made];
        ok = dnnl_memory_create(&list[made].memory, dnnl_primitive_desc_query_md(e->desc, what[made], 0),
                                library.engine, (void *)(uintptr_t)buffers[made]) == dnnl_success;
    }
    dnnl_stream_t stream = this_threads_stream();
    ok = ok && dnnl_primitive_execute(e->primitive, stream, 3, list) == dnnl_success &&
         dnnl_stream_wait(stream) == dnnl_success;
    for (int i = 0; i < made; i++) dnnl_memory_destroy(list[i].memory);
    return ok;
}

/* Copies between two orders of the same matrix. */
static bool reorder(const_description from, const void *in, const_description to, void *out) {
    dnnl_memory_t source = NULL, target = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_stream_t stream = this_threads_stream();
    bool ok =
        dnnl_memory_create(&source, from, library.engine, (void *)(uintptr_t)in) == dnnl_success &&
        dnnl_memory_create(&target, to, library.engine, out) == dnnl_success &&
        dnnl_reorder_primitive_desc_create(&desc, from, library.engine, to, library.engine, NULL) == dnnl_success &&
        dnnl_primitive_create(&primitive, desc) == dnnl_success;
    if (ok) {
        dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, target}};
        ok = dnnl_primitive_execute(primitive, stream, 2, args) == dnnl_success &&
             dnnl_stream_wait(stream) == dnnl_success;
    }
    if (primitive) dnnl_primitive_destroy(primitive);
    if (desc) dnnl_primitive_desc_destroy(desc);
    if (target) dnnl_memory_destroy(target);
    if (source) dnnl_memory_destroy(source);
    return ok;
}

void *tp_onednn_pack(const tp_product *product, const void *b) {
    tp_product p = *product;
    p.m = PACKING_ROWS;
    p.b_packed = true;
    p.accumulate = false;
    const entry *e = find_locked(&p);
    description plain;
    if (e == NULL || !describe_plain(&plain, p.k, p.n, p.bf16 ? dnnl_bf16 : dnnl_f32, p.b_transposed)) return NULL;
    const_description packed = dnnl_primitive_desc_query_md(e->desc, dnnl_query_weights_md, 0);
    void *out = NULL;
    if (!dnnl_memory_desc_equal(as_const(&plain), packed)) {
        size_t bytes = (dnnl_memory_desc_get_size(packed) + 63) / 64 * 64;
        out = aligned_alloc(64, bytes);
        if (out && !reorder(as_const(&plain), b, packed, out)) {
            free(out);
            out = NULL;
        }
    }
    forget(&plain);
    return out;
}

bool tp_onednn_has_bf16(void) {
    static int answer; /* 0: not asked yet; 1: no; 2: yes */
    int known = __atomic_load_n(&answer, __ATOMIC_ACQUIRE);
    if (known == 0) {
        tp_product probe = {.m = 32, .n = 32, .k = 32, .bf16 = true};
        pthread_mutex_lock(&library.lock);
        const entry *e = find(&probe);
        pthread_mutex_unlock(&library.lock);
        /* A reference implementation may exist where no fast one does: only AVX-512 counts. */
        known = e && e->usable && __builtin_cpu_supports("avx512bw") ? 2 : 1;
        __atomic_store_n(&answer, known, __ATOMIC_RELEASE);
    }
    return known == 2;
}
