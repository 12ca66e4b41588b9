create function public.count_request(client text, number integer default 1, period interval default '1 minute')
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  moment  timestamptz := clock_timestamp();
  -- a window that ends later was opened before the clock was set back, and would refuse the client for too long
  latest  timestamptz := moment + 2 * count_request.period;
  counted private.request_counts;
begin
  perform private.require_service();

  -- nothing can be counted, and reading goes on
  if current_setting('transaction_read_only') = 'on' then
    return jsonb_build_object('requests', 0, 'seconds_left', 60);
  end if;

  insert into private.request_counts as c (client, requests, window_ends_at)
  values (left(count_request.client, 255), greatest(count_request.number, 1), moment + count_request.period)
  on conflict on constraint request_counts_pkey do update
  set requests = case
        when c.window_ends_at > moment and c.window_ends_at < latest then c.requests + excluded.requests
        else excluded.requests
      end,
      window_ends_at = case
        when c.window_ends_at > moment and c.window_ends_at < latest then c.window_ends_at
        else excluded.window_ends_at
      end
  returning * into counted;

  -- each new window deletes a few expired ones, so that the table stays small
  if counted.requests <= count_request.number then
    delete from private.request_counts c
    where c.client in (
      select o.client
      from private.request_counts o
      where o.window_ends_at < moment
      order by o.window_ends_at
      limit 10
      for update skip locked
    );
  end if;

  return jsonb_build_object(
    'requests', counted.requests,
    'seconds_left', ceil(extract(epoch from counted.window_ends_at - moment))::int
  );
end;
$$;

comment on function public.count_request is
  'Counts requests of a client (a route and an address) in a window that begins with its first request and lasts for '
  'the period, always the same one for a client. The count is exact over any number of servers, each of which may '
  'count some before they come. Returns {requests, seconds_left}; a read-only database counts nothing. '
  'Raises: not_a_server (403).';

grant execute on function public.count_request to service_role;
