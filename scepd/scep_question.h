/* What a webhook is asked about a request. */
#pragma once

#include "scepd/scep_service.h"

/* Fills question and question_key of the answer, for a decision that is ENROLL_ASK. */
bool scep_question(const struct scep_call *call, const struct scep_message *m, const struct enroll_policy *policy,
                   const struct enroll_decision *d, const struct cert_plan *plan, struct scep_answer *out,
                   struct err *err);

/* What webhooks are to be told (`csr`: the message's, or the one that was kept): of a certificate, into the change that stores it; of a refusal, into the answer. */
bool scep_tell_issued(const struct scep_call *call, const struct scep_message *m, const struct csr *csr,
                      const struct enroll_policy *policy, const struct enroll_decision *d, const struct issued *issued, struct enroll_change *change,
                      struct err *err);
bool scep_tell_refused(const struct scep_call *call, const struct scep_message *m, const struct csr *csr,
                       const struct enroll_policy *policy, const struct enroll_decision *d, struct scep_answer *out, struct err *err);
