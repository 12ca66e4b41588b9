create table crlf (
  i integer -- one; two
);

comment on table crlf is 'first
second';
