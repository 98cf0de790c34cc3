/* What a webhook is asked about a request. */
#pragma once

#include "scepd/scep_service.h"

/* Fills question and question_key of the answer, for a decision that is ENROLL_ASK. */
bool scep_question(const struct scep_call *call, const struct scep_message *m, const struct enroll_policy *policy,
                   const struct enroll_decision *d, const struct cert_plan *plan, struct scep_answer *out,
                   struct err *err);
