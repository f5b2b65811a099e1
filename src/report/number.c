/* Numbers for people and programs. See number.h. */
#include "report/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What the locale put between digits (one or several bytes, never a letter or a sign) becomes a point. */
static const char *with_point(char *text) {
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (strchr("0123456789+-einfa", *from)) {
            *to++ = *from;
        } else if (to == text || to[-1] != '.') {
            *to++ = '.';
        }
    }
    *to = '\0';
    return text;
}

const char *tp_number_fixed(double x, int decimals, char out[TP_NUMBER_SIZE]) {
    out[0] = '\0';
    if (isnan(x)) return out;
    if (fabs(x) < 0.5 * pow(10, -decimals)) x = 0; /* no "-0.0" */
    snprintf(out, TP_NUMBER_SIZE, fabs(x) < 1e15 ? "%.*f" : "%.*g", decimals, x);
    return with_point(out);
}

const char *tp_number_percent(double share, char out[TP_NUMBER_SIZE]) {
    return tp_number_fixed(100 * share, 1, out);
}

const char *tp_number_short(double x, char out[TP_NUMBER_SIZE]) {
    double size = fabs(x);
    return tp_number_fixed(x, size == 0 || size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 4, out);
}

const char *tp_number_signed(double x, int decimals, char out[TP_NUMBER_SIZE]) {
    char digits[TP_NUMBER_SIZE];
    out[0] = '\0';
    if (isnan(x)) return out;
    tp_number_fixed(fabs(x), decimals, digits);
    const char *sign = strspn(digits, "0.") == strlen(digits) ? "" : x < 0 ? "−" : "+";
    snprintf(out, TP_NUMBER_SIZE, "%s%.40s", sign, digits);
    return out;
}

const char *tp_number_p(double p, char out[TP_NUMBER_SIZE]) {
    char digits[TP_NUMBER_SIZE];
    out[0] = '\0';
    if (isnan(p)) return out;
    if (p < 0.001)
        snprintf(out, TP_NUMBER_SIZE, "p\u00a0<\u00a00.001");
    else
        snprintf(out, TP_NUMBER_SIZE, "p\u00a0=\u00a0%.40s", tp_number_fixed(p, p < 0.1 ? 3 : 2, digits));
    return out;
}

const char *tp_number_exact(double x, char out[TP_NUMBER_SIZE]) {
    out[0] = '\0';
    if (isnan(x)) return out;
    snprintf(out, TP_NUMBER_SIZE, "%.9g", x);
    return with_point(out);
}
