create table private.currencies (
  code     text     collate "C" primary key,
  exponent smallint not null,

  constraint code_has_3_to_12_capitals_and_digits check (code ~ '^[A-Z][A-Z0-9]{2,11}$'),
  constraint exponent_is_0_to_8 check (exponent between 0 and 8)
);

comment on table private.currencies is
  'The currencies of prices, loans, transfers and fees: those of ISO 4217, and what an operator adds. Others are '
  'refused (private.is_currency); rows from before keep theirs. Rows are added only, because stored amounts depend on '
  'them.';
comment on column private.currencies.exponent is
  'The number of decimals of the minor unit: 2 for EUR, 0 for JPY.';

alter table private.currencies enable row level security;

grant select on private.currencies to service_role;

create trigger tg_currencies__refuse
before update or delete or truncate on private.currencies
for each statement execute function private.tg_append_only__refuse();

insert into private.currencies (exponent, code)
select known.exponent, code
from (
  values
  (
    0,
    'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'
  ),
  (
    2,
    'AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD '
    'CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD '
    'GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA '
    'MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR '
    'RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD '
    'TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG'
  ),
  (
    3,
    'BHD IQD JOD KWD LYD OMR TND'
  ),
  (
    4,
    'CLF UYW'
  )
) as known (exponent, codes)
cross join lateral string_to_table(known.codes, ' ') as code;
