create function private.application_json(application public.mortgage_applications)
returns jsonb
language sql
stable
return to_jsonb(application) || jsonb_build_object('borrower_uid', private.uid_of(application.borrower_id));

comment on function private.application_json is
  'An application as the functions return it: its columns and the borrower''s uid.';
