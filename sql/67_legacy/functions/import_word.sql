create function private.import_word(value text)
returns text
language plpgsql -- caches the plan for the next call
immutable
strict
set search_path = ''
as $$
begin
  return lower(import_word.value collate "C");
end;
$$;

comment on function private.import_word is 'A status or another word in lower case: the legacy servers took any case.';
