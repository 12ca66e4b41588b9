create function private.kept_in_log()
returns text[]
language sql
immutable
set search_path = ''
return array[
  'adjusts', 'amountCents', 'applicationId', 'beneficiary', 'by', 'currency', 'desiredLoan', 'dueOn', 'lenderUid',
  'loan', 'number', 'paidOn', 'payer', 'payment', 'periodFrom', 'periodTo', 'reverses', 'signer', 'slotStart',
  'status', 'totalCents', 'validUntil', 'voucherId'
];

comment on function private.kept_in_log is
  'What of an event of an erased thinker is no free text: the keys of ids, amounts, times and states.';
