create function private.read_page(
  page         refcursor,
  max_rows     integer,
  oldest_first boolean default false,
  max_bytes    integer default null
)
returns jsonb[]
language plpgsql
stable
set search_path = ''
as $$
declare
  most      constant integer := private.page_rows(read_page.max_rows);
  most_bytes constant integer := least(read_page.max_bytes, 1024 * 1024);
  item      jsonb;
  key       text[];
  last_key  text[];
  items     jsonb[] := '{}';
  bytes     bigint := 0;
  shown     text;
  next      text;
begin
  loop
    fetch page into item, key;
    exit when not found;
    shown := item::text;
    -- an array or an object takes clients as much time as 64 bytes, and any other value as 8
    bytes := bytes + octet_length(shown) + 64 * private.count_brackets(shown)
      + 8 * private.count_commas(shown);
    if cardinality(items) = most or (bytes > most_bytes and items <> '{}') then
      next := translate(encode(convert_to(to_jsonb(last_key)::text, 'UTF8'), 'base64'), E'+/\n', '-_');
      exit;
    end if;
    items := array_append(items, item);
    last_key := key;
  end loop;
  close page;
  if read_page.oldest_first then
    items := array(select u.item from unnest(items) with ordinality as u (item, n) order by u.n desc);
  end if;
  if next is not null then
    items[cardinality(items)] := items[cardinality(items)] || jsonb_build_object('next', next);
  end if;
  return items;
end;
$$;

comment on function private.read_page is
  'A page of a list: the items of a cursor over rows of an item (jsonb) and its sort key (text[]), the newest ones '
  'first, at most max_rows of them (private.page_rows) and max_bytes (1 MiB at most), at least one; with '
  'oldest_first each page is turned round. The first page has the newest items in any case: strangers who add to a '
  'list must not hide what comes later. If there are more, the last item also has next, the cursor of the next page '
  '(private.page_key). An array of jsonb, which clients get as JSON all the same, because filters look into jsonb, and '
  'no timeout ends @> over all of a page.';

grant execute on function private.read_page to service_role, authenticated;
