/* Numbers as the report writes them: the same bytes in every locale, NAN as nothing. Every function fills `out` and
 * gives it back, so that it can stand among the arguments of a printf. */
#ifndef TP_REPORT_NUMBER_H
#define TP_REPORT_NUMBER_H

enum { TP_NUMBER_SIZE = 48 };

/* `decimals` digits behind the point, rounded as printf rounds; a huge or infinite number as "%g" has it. */
const char *tp_number_fixed(double x, int decimals, char out[TP_NUMBER_SIZE]);
/* A share as a percentage with one decimal, without the sign. */
const char *tp_number_percent(double share, char out[TP_NUMBER_SIZE]);
/* About three digits that matter: 3128, 12.9, 2.65. */
const char *tp_number_short(double x, char out[TP_NUMBER_SIZE]);
/* "+3.4" or "−1.2" with a real minus sign. */
const char *tp_number_signed(double x, int decimals, char out[TP_NUMBER_SIZE]);
/* "p < 0.001" or "p = 0.034", with blanks at which no line breaks. */
const char *tp_number_p(double p, char out[TP_NUMBER_SIZE]);
/* For programs: nine digits, as few characters as that takes. */
const char *tp_number_exact(double x, char out[TP_NUMBER_SIZE]);

#endif
