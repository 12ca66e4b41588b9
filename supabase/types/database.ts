export type Json =
  | string
  | number
  | boolean
  | null
  | { [key: string]: Json | undefined }
  | Json[]

export type Database = {
  public: {
    Tables: {
      contract_links: {
        Row: {
          contract_id: string
          created_at: string
          id: string
          role: string
          room_id: string | null
          voucher_id: string | null
        }
        Insert: {
          contract_id: string
          created_at?: string
          id?: string
          role?: string
          room_id?: string | null
          voucher_id?: string | null
        }
        Update: {
          contract_id?: string
          created_at?: string
          id?: string
          role?: string
          room_id?: string | null
          voucher_id?: string | null
        }
        Relationships: [
          {
            foreignKeyName: "contract_links_contract_id_fkey"
            columns: ["contract_id"]
            isOneToOne: false
            referencedRelation: "contracts"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "contract_links_room_id_fkey"
            columns: ["room_id"]
            isOneToOne: false
            referencedRelation: "rooms"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "contract_links_voucher_id_fkey"
            columns: ["voucher_id"]
            isOneToOne: false
            referencedRelation: "vouchers"
            referencedColumns: ["id"]
          },
        ]
      }
      contracts: {
        Row: {
          byte_size: number
          created_at: string
          created_by: string | null
          hash_sha256: string
          id: string
          mime_type: string | null
          name: string
          storage_url: string
        }
        Insert: {
          byte_size: number
          created_at?: string
          created_by?: string | null
          hash_sha256: string
          id?: string
          mime_type?: string | null
          name: string
          storage_url: string
        }
        Update: {
          byte_size?: number
          created_at?: string
          created_by?: string | null
          hash_sha256?: string
          id?: string
          mime_type?: string | null
          name?: string
          storage_url?: string
        }
        Relationships: [
          {
            foreignKeyName: "contracts_created_by_fkey"
            columns: ["created_by"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
        ]
      }
      events: {
        Row: {
          actor_id: string | null
          created_at: string
          id: string
          meta: NonNullable<Json>
          subject_id: string | null
          subject_type: string | null
          type: string
        }
        Insert: {
          actor_id?: string | null
          created_at?: string
          id?: string
          meta?: NonNullable<Json>
          subject_id?: string | null
          subject_type?: string | null
          type: string
        }
        Update: {
          actor_id?: string | null
          created_at?: string
          id?: string
          meta?: NonNullable<Json>
          subject_id?: string | null
          subject_type?: string | null
          type?: string
        }
        Relationships: [
          {
            foreignKeyName: "events_actor_id_fkey"
            columns: ["actor_id"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
        ]
      }
      fee_events: {
        Row: {
          adjusts: string | null
          amount_cents: number
          base_cents: number | null
          beneficiary_id: string
          bound: string | null
          created_at: string
          currency: string
          fee_id: string
          fixed_cents: number | null
          id: string
          operator: string | null
          payer_id: string | null
          rate: number | null
          reason: string | null
          reverses: string | null
          settlement_id: string | null
          subject_id: string
          subject_type: string
          unrounded: number | null
        }
        Insert: {
          adjusts?: string | null
          amount_cents: number
          base_cents?: number | null
          beneficiary_id: string
          bound?: string | null
          created_at?: string
          currency: string
          fee_id: string
          fixed_cents?: number | null
          id?: string
          operator?: string | null
          payer_id?: string | null
          rate?: number | null
          reason?: string | null
          reverses?: string | null
          settlement_id?: string | null
          subject_id: string
          subject_type: string
          unrounded?: number | null
        }
        Update: {
          adjusts?: string | null
          amount_cents?: number
          base_cents?: number | null
          beneficiary_id?: string
          bound?: string | null
          created_at?: string
          currency?: string
          fee_id?: string
          fixed_cents?: number | null
          id?: string
          operator?: string | null
          payer_id?: string | null
          rate?: number | null
          reason?: string | null
          reverses?: string | null
          settlement_id?: string | null
          subject_id?: string
          subject_type?: string
          unrounded?: number | null
        }
        Relationships: [
          {
            foreignKeyName: "a_settlement_is_for_one_beneficiary_in_one_currency"
            columns: ["settlement_id", "beneficiary_id", "currency"]
            isOneToOne: false
            referencedRelation: "settlements"
            referencedColumns: ["id", "beneficiary_id", "currency"]
          },
          {
            foreignKeyName: "fee_events_adjusts_fkey"
            columns: ["adjusts"]
            isOneToOne: false
            referencedRelation: "fee_events"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "fee_events_beneficiary_id_fkey"
            columns: ["beneficiary_id"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "fee_events_fee_id_fkey"
            columns: ["fee_id"]
            isOneToOne: false
            referencedRelation: "fees"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "fee_events_payer_id_fkey"
            columns: ["payer_id"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "fee_events_reverses_fkey"
            columns: ["reverses"]
            isOneToOne: true
            referencedRelation: "fee_events"
            referencedColumns: ["id"]
          },
        ]
      }
      fee_versions: {
        Row: {
          active: boolean
          beneficiary_id: string
          changed_by: string
          currency: string | null
          fee_id: string
          fixed_amount: number
          id: string
          max_cents: number | null
          min_cents: number | null
          payer: string | null
          percentage: number
          reversed_after_start: boolean
          scope: string
          valid_from: string
        }
        Insert: {
          active: boolean
          beneficiary_id: string
          changed_by?: string
          currency?: string | null
          fee_id: string
          fixed_amount: number
          id?: string
          max_cents?: number | null
          min_cents?: number | null
          payer?: string | null
          percentage: number
          reversed_after_start?: boolean
          scope: string
          valid_from?: string
        }
        Update: {
          active?: boolean
          beneficiary_id?: string
          changed_by?: string
          currency?: string | null
          fee_id?: string
          fixed_amount?: number
          id?: string
          max_cents?: number | null
          min_cents?: number | null
          payer?: string | null
          percentage?: number
          reversed_after_start?: boolean
          scope?: string
          valid_from?: string
        }
        Relationships: [
          {
            foreignKeyName: "fee_versions_beneficiary_id_fkey"
            columns: ["beneficiary_id"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "fee_versions_fee_id_fkey"
            columns: ["fee_id"]
            isOneToOne: false
            referencedRelation: "fees"
            referencedColumns: ["id"]
          },
        ]
      }
      fees: {
        Row: {
          active: boolean
          beneficiary_id: string
          currency: string | null
          fixed_amount: number
          id: string
          max_cents: number | null
          meta: NonNullable<Json>
          min_cents: number | null
          payer: string | null
          percentage: number
          reversed_after_start: boolean
          scope: string
        }
        Insert: {
          active?: boolean
          beneficiary_id?: string
          currency?: string | null
          fixed_amount?: number
          id: string
          max_cents?: number | null
          meta?: NonNullable<Json>
          min_cents?: number | null
          payer?: string | null
          percentage?: number
          reversed_after_start?: boolean
          scope: string
        }
        Update: {
          active?: boolean
          beneficiary_id?: string
          currency?: string | null
          fixed_amount?: number
          id?: string
          max_cents?: number | null
          meta?: NonNullable<Json>
          min_cents?: number | null
          payer?: string | null
          percentage?: number
          reversed_after_start?: boolean
          scope?: string
        }
        Relationships: [
          {
            foreignKeyName: "fees_beneficiary_id_fkey"
            columns: ["beneficiary_id"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
        ]
      }
      mortgage_applications: {
        Row: {
          borrower_id: string
          created_at: string
          currency: string | null
          desired_loan: number | null
          duration_years: number | null
          id: string
          max_interest: number | null
          meta: NonNullable<Json>
          property_id: string | null
          rate_type: string | null
          status: string
          submission_ts: string
          visibility: string
        }
        Insert: {
          borrower_id: string
          created_at?: string
          currency?: string | null
          desired_loan?: number | null
          duration_years?: number | null
          id?: string
          max_interest?: number | null
          meta?: NonNullable<Json>
          property_id?: string | null
          rate_type?: string | null
          status?: string
          submission_ts?: string
          visibility?: string
        }
        Update: {
          borrower_id?: string
          created_at?: string
          currency?: string | null
          desired_loan?: number | null
          duration_years?: number | null
          id?: string
          max_interest?: number | null
          meta?: NonNullable<Json>
          property_id?: string | null
          rate_type?: string | null
          status?: string
          submission_ts?: string
          visibility?: string
        }
        Relationships: [
          {
            foreignKeyName: "mortgage_applications_borrower_id_fkey"
            columns: ["borrower_id"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "mortgage_applications_property_id_fkey"
            columns: ["property_id"]
            isOneToOne: false
            referencedRelation: "properties"
            referencedColumns: ["id"]
          },
        ]
      }
      mortgage_contracts: {
        Row: {
          borrower_signed_at: string | null
          contract_id: string | null
          created_at: string
          id: string
          lender_signed_at: string | null
          notary_signed_at: string | null
          offer_id: string
          status: string
          updated_at: string | null
        }
        Insert: {
          borrower_signed_at?: string | null
          contract_id?: string | null
          created_at?: string
          id?: string
          lender_signed_at?: string | null
          notary_signed_at?: string | null
          offer_id: string
          status?: string
          updated_at?: string | null
        }
        Update: {
          borrower_signed_at?: string | null
          contract_id?: string | null
          created_at?: string
          id?: string
          lender_signed_at?: string | null
          notary_signed_at?: string | null
          offer_id?: string
          status?: string
          updated_at?: string | null
        }
        Relationships: [
          {
            foreignKeyName: "mortgage_contracts_contract_id_fkey"
            columns: ["contract_id"]
            isOneToOne: false
            referencedRelation: "contracts"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "mortgage_contracts_offer_id_fkey"
            columns: ["offer_id"]
            isOneToOne: true
            referencedRelation: "mortgage_offers"
            referencedColumns: ["id"]
          },
        ]
      }
      mortgage_offers: {
        Row: {
          application_id: string
          created_at: string
          fees: Json | null
          id: string
          interest: Json | null
          interest_rate: number | null
          lender_id: string
          loan: Json | null
          loan_amount: number | null
          loan_currency: string | null
          monthly_payment: number | null
          repayment: Json | null
          room_refs: NonNullable<Json>
          status: string
          terms_ref: Json | null
          validity: Json | null
        }
        Insert: {
          application_id: string
          created_at?: string
          fees?: Json | null
          id?: string
          interest?: Json | null
          interest_rate?: number | null
          lender_id: string
          loan?: Json | null
          loan_amount?: number | null
          loan_currency?: string | null
          monthly_payment?: number | null
          repayment?: Json | null
          room_refs: NonNullable<Json>
          status?: string
          terms_ref?: Json | null
          validity?: Json | null
        }
        Update: {
          application_id?: string
          created_at?: string
          fees?: Json | null
          id?: string
          interest?: Json | null
          interest_rate?: number | null
          lender_id?: string
          loan?: Json | null
          loan_amount?: number | null
          loan_currency?: string | null
          monthly_payment?: number | null
          repayment?: Json | null
          room_refs?: NonNullable<Json>
          status?: string
          terms_ref?: Json | null
          validity?: Json | null
        }
        Relationships: [
          {
            foreignKeyName: "mortgage_offers_application_id_fkey"
            columns: ["application_id"]
            isOneToOne: false
            referencedRelation: "mortgage_applications"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "mortgage_offers_lender_id_fkey"
            columns: ["lender_id"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
        ]
      }
      presence_sessions: {
        Row: {
          created_at: string
          id: string
          joined_at: string | null
          last_seen_at: string
          pair_code: string | null
          room_id: string | null
          silenced: boolean
          status: string
          thinker_id: string
        }
        Insert: {
          created_at?: string
          id?: string
          joined_at?: string | null
          last_seen_at?: string
          pair_code?: string | null
          room_id?: string | null
          silenced?: boolean
          status?: string
          thinker_id: string
        }
        Update: {
          created_at?: string
          id?: string
          joined_at?: string | null
          last_seen_at?: string
          pair_code?: string | null
          room_id?: string | null
          silenced?: boolean
          status?: string
          thinker_id?: string
        }
        Relationships: [
          {
            foreignKeyName: "presence_sessions_thinker_id_fkey"
            columns: ["thinker_id"]
            isOneToOne: true
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
        ]
      }
      properties: {
        Row: {
          address: string | null
          created_by: string | null
          id: string
          meta: NonNullable<Json>
        }
        Insert: {
          address?: string | null
          created_by?: string | null
          id: string
          meta?: NonNullable<Json>
        }
        Update: {
          address?: string | null
          created_by?: string | null
          id?: string
          meta?: NonNullable<Json>
        }
        Relationships: [
          {
            foreignKeyName: "properties_created_by_fkey"
            columns: ["created_by"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
        ]
      }
      rooms: {
        Row: {
          created_at: string
          id: string
          meta: NonNullable<Json>
          owner_id: string | null
          type: string
        }
        Insert: {
          created_at?: string
          id: string
          meta?: NonNullable<Json>
          owner_id?: string | null
          type?: string
        }
        Update: {
          created_at?: string
          id?: string
          meta?: NonNullable<Json>
          owner_id?: string | null
          type?: string
        }
        Relationships: [
          {
            foreignKeyName: "rooms_owner_id_fkey"
            columns: ["owner_id"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
        ]
      }
      settlement_lines: {
        Row: {
          fee_event_id: string
          month: string
          settlement_id: string
        }
        Insert: {
          fee_event_id: string
          month: string
          settlement_id: string
        }
        Update: {
          fee_event_id?: string
          month?: string
          settlement_id?: string
        }
        Relationships: [
          {
            foreignKeyName: "settlement_lines_fee_event_id_fkey"
            columns: ["fee_event_id"]
            isOneToOne: false
            referencedRelation: "fee_events"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "settlement_lines_settlement_id_fkey"
            columns: ["settlement_id"]
            isOneToOne: false
            referencedRelation: "settlements"
            referencedColumns: ["id"]
          },
        ]
      }
      settlement_payments: {
        Row: {
          amount_cents: number
          created_at: string
          id: string
          paid_on: string
          payer_id: string | null
          recorded_by: string
          reference: string | null
          settlement_id: string
        }
        Insert: {
          amount_cents: number
          created_at?: string
          id?: string
          paid_on: string
          payer_id?: string | null
          recorded_by?: string
          reference?: string | null
          settlement_id: string
        }
        Update: {
          amount_cents?: number
          created_at?: string
          id?: string
          paid_on?: string
          payer_id?: string | null
          recorded_by?: string
          reference?: string | null
          settlement_id?: string
        }
        Relationships: [
          {
            foreignKeyName: "settlement_payments_payer_id_fkey"
            columns: ["payer_id"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "settlement_payments_settlement_id_fkey"
            columns: ["settlement_id"]
            isOneToOne: false
            referencedRelation: "settlements"
            referencedColumns: ["id"]
          },
        ]
      }
      settlements: {
        Row: {
          beneficiary_id: string
          created_at: string
          created_by: string
          currency: string
          due_on: string | null
          id: string
          invoiced_at: string | null
          invoiced_by: string | null
          number: string | null
          paid_at: string | null
          paid_by: string | null
          period_from: string
          period_to: string
          status: string
          total_cents: number
          void_reason: string | null
          voided_at: string | null
          voided_by: string | null
          write_off_reason: string | null
          written_off_at: string | null
          written_off_by: string | null
        }
        Insert: {
          beneficiary_id: string
          created_at?: string
          created_by?: string
          currency: string
          due_on?: string | null
          id?: string
          invoiced_at?: string | null
          invoiced_by?: string | null
          number?: string | null
          paid_at?: string | null
          paid_by?: string | null
          period_from: string
          period_to: string
          status?: string
          total_cents: number
          void_reason?: string | null
          voided_at?: string | null
          voided_by?: string | null
          write_off_reason?: string | null
          written_off_at?: string | null
          written_off_by?: string | null
        }
        Update: {
          beneficiary_id?: string
          created_at?: string
          created_by?: string
          currency?: string
          due_on?: string | null
          id?: string
          invoiced_at?: string | null
          invoiced_by?: string | null
          number?: string | null
          paid_at?: string | null
          paid_by?: string | null
          period_from?: string
          period_to?: string
          status?: string
          total_cents?: number
          void_reason?: string | null
          voided_at?: string | null
          voided_by?: string | null
          write_off_reason?: string | null
          written_off_at?: string | null
          written_off_by?: string | null
        }
        Relationships: [
          {
            foreignKeyName: "settlements_beneficiary_id_fkey"
            columns: ["beneficiary_id"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
        ]
      }
      telemetry_events: {
        Row: {
          actor_id: string | null
          created_at: string
          id: string
          meta: Json | null
          path: string | null
          type: string
        }
        Insert: {
          actor_id?: string | null
          created_at?: string
          id?: string
          meta?: Json | null
          path?: string | null
          type: string
        }
        Update: {
          actor_id?: string | null
          created_at?: string
          id?: string
          meta?: Json | null
          path?: string | null
          type?: string
        }
        Relationships: [
          {
            foreignKeyName: "telemetry_events_actor_id_fkey"
            columns: ["actor_id"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
        ]
      }
      thinkers: {
        Row: {
          created_at: string
          id: string
          meta: NonNullable<Json>
          no_overlap_across_vouchers: boolean
          public_id: string
          roles: string[]
          verified_at: string | null
        }
        Insert: {
          created_at?: string
          id: string
          meta?: NonNullable<Json>
          no_overlap_across_vouchers?: boolean
          public_id: string
          roles?: string[]
          verified_at?: string | null
        }
        Update: {
          created_at?: string
          id?: string
          meta?: NonNullable<Json>
          no_overlap_across_vouchers?: boolean
          public_id?: string
          roles?: string[]
          verified_at?: string | null
        }
        Relationships: []
      }
      transfers: {
        Row: {
          created_at: string
          crypto_amount: number
          crypto_symbol: string
          direction: string
          external_account: string | null
          fiat_amount: number
          fiat_currency: string
          id: string
          label: string
          meta: NonNullable<Json>
          network: string | null
          status: string
          thinker_id: string | null
          updated_at: string
          wallet_address: string | null
        }
        Insert: {
          created_at?: string
          crypto_amount: number
          crypto_symbol: string
          direction: string
          external_account?: string | null
          fiat_amount: number
          fiat_currency: string
          id: string
          label: string
          meta?: NonNullable<Json>
          network?: string | null
          status?: string
          thinker_id?: string | null
          updated_at?: string
          wallet_address?: string | null
        }
        Update: {
          created_at?: string
          crypto_amount?: number
          crypto_symbol?: string
          direction?: string
          external_account?: string | null
          fiat_amount?: number
          fiat_currency?: string
          id?: string
          label?: string
          meta?: NonNullable<Json>
          network?: string | null
          status?: string
          thinker_id?: string | null
          updated_at?: string
          wallet_address?: string | null
        }
        Relationships: [
          {
            foreignKeyName: "transfers_thinker_id_fkey"
            columns: ["thinker_id"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
        ]
      }
      voucher_bookings: {
        Row: {
          cancel_reason: string | null
          cancelled_at: string | null
          created_at: string
          holder_id: string
          id: string
          issuer_id: string
          no_overlap_across_vouchers: boolean
          price_amount: number | null
          price_currency: string | null
          slot_end: string
          slot_start: string
          status: string
          voucher_id: string
        }
        Insert: {
          cancel_reason?: string | null
          cancelled_at?: string | null
          created_at?: string
          holder_id: string
          id?: string
          issuer_id: string
          no_overlap_across_vouchers?: boolean
          price_amount?: number | null
          price_currency?: string | null
          slot_end: string
          slot_start: string
          status?: string
          voucher_id: string
        }
        Update: {
          cancel_reason?: string | null
          cancelled_at?: string | null
          created_at?: string
          holder_id?: string
          id?: string
          issuer_id?: string
          no_overlap_across_vouchers?: boolean
          price_amount?: number | null
          price_currency?: string | null
          slot_end?: string
          slot_start?: string
          status?: string
          voucher_id?: string
        }
        Relationships: [
          {
            foreignKeyName: "voucher_bookings_holder_id_fkey"
            columns: ["holder_id"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "voucher_bookings_issuer_id_fkey"
            columns: ["issuer_id"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "voucher_bookings_voucher_id_fkey"
            columns: ["voucher_id"]
            isOneToOne: false
            referencedRelation: "vouchers"
            referencedColumns: ["id"]
          },
        ]
      }
      voucher_templates: {
        Row: {
          default_duration: number
          default_terms: NonNullable<Json>
          id: string
          service_type: string
          title: string
        }
        Insert: {
          default_duration: number
          default_terms?: NonNullable<Json>
          id: string
          service_type: string
          title: string
        }
        Update: {
          default_duration?: number
          default_terms?: NonNullable<Json>
          id?: string
          service_type?: string
          title?: string
        }
        Relationships: []
      }
      vouchers: {
        Row: {
          allowed_slots: NonNullable<Json>
          created_at: string
          description: string
          duration_minutes: number
          holder_id: string | null
          id: string
          issued_to: string | null
          issuer_id: string
          price_amount: number | null
          price_currency: string | null
          service_type: string
          status: string
          terms: NonNullable<Json>
          title: string
          transferable: boolean
          valid_from: string
          valid_until: string
        }
        Insert: {
          allowed_slots?: NonNullable<Json>
          created_at?: string
          description?: string
          duration_minutes?: number
          holder_id?: string | null
          id?: string
          issued_to?: string | null
          issuer_id: string
          price_amount?: number | null
          price_currency?: string | null
          service_type?: string
          status?: string
          terms?: NonNullable<Json>
          title?: string
          transferable?: boolean
          valid_from: string
          valid_until: string
        }
        Update: {
          allowed_slots?: NonNullable<Json>
          created_at?: string
          description?: string
          duration_minutes?: number
          holder_id?: string | null
          id?: string
          issued_to?: string | null
          issuer_id?: string
          price_amount?: number | null
          price_currency?: string | null
          service_type?: string
          status?: string
          terms?: NonNullable<Json>
          title?: string
          transferable?: boolean
          valid_from?: string
          valid_until?: string
        }
        Relationships: [
          {
            foreignKeyName: "vouchers_holder_id_fkey"
            columns: ["holder_id"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "vouchers_issued_to_fkey"
            columns: ["issued_to"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "vouchers_issuer_id_fkey"
            columns: ["issuer_id"]
            isOneToOne: false
            referencedRelation: "thinkers"
            referencedColumns: ["id"]
          },
        ]
      }
    }
    Views: {
      [_ in never]: never
    }
    Functions: {
      accept_mortgage_offer: {
        Args: { idempotency_key?: string; offer_id: string }
        Returns: Json
      }
      adjust_fee: {
        Args: {
          amount_cents: number
          fee_event_id: string
          idempotency_key?: string
          reason: string
        }
        Returns: Json
      }
      applied_migrations: {
        Args: Record<PropertyKey, never>
        Returns: string[]
      }
      apply_for_mortgage: {
        Args: {
          application_id?: string
          currency?: string
          desired_loan?: number
          duration_years?: number
          idempotency_key?: string
          max_interest?: number
          meta?: Json
          property_id?: string
          rate_type?: string
          status?: string
          visibility?: string
        }
        Returns: Json
      }
      available_slots: {
        Args: { slots_from?: string; slots_to?: string; voucher_id: string }
        Returns: Json
      }
      book_voucher: {
        Args: {
          idempotency_key?: string
          slot_start: string
          voucher_id: string
        }
        Returns: Json
      }
      cancel_booking: {
        Args: {
          booking_id?: string
          idempotency_key?: string
          reason?: string
          voucher_id?: string
        }
        Returns: Json
      }
      check_contract_link: {
        Args: { matched?: boolean; room_id?: string; voucher_id?: string }
        Returns: boolean
      }
      check_request: { Args: Record<PropertyKey, never>; Returns: undefined }
      claim_thinker: {
        Args: {
          client?: string
          known?: boolean
          session_id: string
          uid: string
        }
        Returns: undefined
      }
      count_request: {
        Args: { client: string; number?: number; period?: string }
        Returns: Json
      }
      dashboard: { Args: Record<PropertyKey, never>; Returns: Json }
      end_session: { Args: { session_id: string }; Returns: undefined }
      error_summary: { Args: Record<PropertyKey, never>; Returns: Json }
      fee_stats: { Args: { from_day?: string; to_day?: string }; Returns: Json }
      get_balance: { Args: { as_of?: string }; Returns: Json }
      get_contract: { Args: { contract_id: string }; Returns: Json }
      get_settlement: {
        Args: { after?: string; max_rows?: number; settlement_id: string }
        Returns: Json
      }
      get_statement: {
        Args: { after?: string; max_rows?: number; settlement_id: string }
        Returns: Json
      }
      get_transfer: { Args: { transfer_id: string }; Returns: Json }
      invoice_settlement: { Args: { settlement_id: string }; Returns: Json }
      issue_voucher: {
        Args: {
          allowed_slots?: Json
          description?: string
          duration_minutes?: number
          holder_uid?: string
          idempotency_key?: string
          price_amount?: number
          price_currency?: string
          service_type?: string
          status?: string
          terms?: Json
          title?: string
          transferable?: boolean
          valid_from?: string
          valid_until?: string
          voucher_id?: string
        }
        Returns: Json
      }
      join_room: { Args: { notice?: string; room_id: string }; Returns: Json }
      list_bookings: {
        Args: {
          after?: string
          holder_uid?: string
          issuer_uid?: string
          max_bytes?: number
          max_rows?: number
          voucher_id?: string
        }
        Returns: Json[]
      }
      list_contracts: {
        Args: {
          after?: string
          max_bytes?: number
          max_rows?: number
          room_id?: string
          voucher_id?: string
        }
        Returns: Json[]
      }
      list_events: {
        Args: { after?: string; max_rows?: number }
        Returns: Json[]
      }
      list_fees: { Args: Record<PropertyKey, never>; Returns: Json }
      list_mortgage_applications: {
        Args: { after?: string; max_rows?: number; role?: string }
        Returns: Json[]
      }
      list_mortgage_offers: {
        Args: {
          after?: string
          application_id?: string
          max_bytes?: number
          max_rows?: number
          newest_first?: boolean
          role?: string
        }
        Returns: Json[]
      }
      list_presence: {
        Args: { after?: string; max_rows?: number }
        Returns: Json[]
      }
      list_settlements: {
        Args: {
          after?: string
          beneficiary_uid?: string
          max_rows?: number
          status?: string
        }
        Returns: Json[]
      }
      list_transfers: {
        Args: {
          after?: string
          direction?: string
          max_bytes?: number
          max_rows?: number
          wallet_address?: string
        }
        Returns: Json[]
      }
      list_vouchers: {
        Args: {
          after?: string
          holder_uid?: string
          issuer_uid?: string
          max_bytes?: number
          max_rows?: number
          status?: string
        }
        Returns: Json[]
      }
      log_transfer: {
        Args: {
          crypto_amount: number
          crypto_symbol: string
          direction: string
          external_account?: string
          fiat_currency: string
          fiat_major: number
          idempotency_key?: string
          label?: string
          meta?: Json
          network?: string
          wallet_address?: string
        }
        Returns: Json
      }
      match_presence: {
        Args: { idempotency_key?: string; pair_code: string }
        Returns: Json
      }
      mortgage_stats: {
        Args: { from_day?: string; to_day?: string }
        Returns: Json
      }
      offer_mortgage: {
        Args: {
          application_id: string
          fees?: Json
          idempotency_key?: string
          interest?: Json
          interest_rate?: number
          loan?: Json
          monthly_payment?: number
          offer_id?: string
          repayment?: Json
          room_refs?: Json
          terms_ref?: Json
          validity?: Json
        }
        Returns: Json
      }
      pay_settlement: {
        Args: {
          amount_cents?: number
          idempotency_key?: string
          paid_on?: string
          payer_uid?: string
          reference?: string
          settlement_id: string
        }
        Returns: Json
      }
      ping: { Args: Record<PropertyKey, never>; Returns: boolean }
      presence_stats: {
        Args: { from_day?: string; to_day?: string }
        Returns: Json
      }
      prove_thinker: {
        Args: {
          client?: string
          is_own?: boolean
          session_id: string
          uid: string
        }
        Returns: undefined
      }
      record_contract: {
        Args: {
          as_thinker?: boolean
          byte_size: number
          client?: string
          contract_id: string
          hash_sha256: string
          idempotency_key?: string
          matched?: boolean
          mime_type: string
          name: string
          room_id?: string
          storage_url: string
          voucher_id?: string
        }
        Returns: Json
      }
      record_telemetry: {
        Args: { events: Json; idempotency_key?: string }
        Returns: number
      }
      require_admin_session: {
        Args: { session_id: string }
        Returns: undefined
      }
      reverse_fee: {
        Args: { fee_event_id: string; reason: string }
        Returns: Json
      }
      send_heartbeat: {
        Args: { idempotency_key?: string; pair_code?: string; status?: string }
        Returns: Json
      }
      send_to_room: {
        Args: { notice?: string; room_id: string }
        Returns: Json
      }
      session_thinkers: {
        Args: { request_key?: string; session_id: string }
        Returns: Json
      }
      settle_fees: {
        Args: { dry_run?: boolean; period_from: string; period_to: string }
        Returns: Json
      }
      sign_mortgage_contract: {
        Args: { contract_id: string; idempotency_key?: string; signer: string }
        Returns: Json
      }
      system_metrics: { Args: Record<PropertyKey, never>; Returns: Json }
      system_stats: {
        Args: { from_day?: string; to_day?: string }
        Returns: Json
      }
      telbank_stats: {
        Args: { from_day?: string; to_day?: string }
        Returns: Json
      }
      verify_presence: { Args: { idempotency_key?: string }; Returns: Json }
      void_settlement: {
        Args: { reason?: string; settlement_id: string }
        Returns: Json
      }
      voucher_stats: {
        Args: { from_day?: string; to_day?: string }
        Returns: Json
      }
      write_off_settlement: {
        Args: { reason: string; settlement_id: string }
        Returns: Json
      }
    }
    Enums: {
      [_ in never]: never
    }
    CompositeTypes: {
      [_ in never]: never
    }
  }
}

type DatabaseWithoutInternals = Omit<Database, "__InternalSupabase">

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "public">]

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends (DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
        DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])
    : never) = never,
> = DefaultSchemaTableNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
      DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])[TableName] extends {
      Row: infer R
    }
    ? R
    : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] &
        DefaultSchema["Views"])
    ? (DefaultSchema["Tables"] &
        DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
        Row: infer R
      }
      ? R
      : never
    : never

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends (DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never) = never,
> = DefaultSchemaTableNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Insert: infer I
    }
    ? I
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
        Insert: infer I
      }
      ? I
      : never
    : never

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends (DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never) = never,
> = DefaultSchemaTableNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Update: infer U
    }
    ? U
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
        Update: infer U
      }
      ? U
      : never
    : never

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends (DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"]
    : never) = never,
> = DefaultSchemaEnumNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
    ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
    : never

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema["CompositeTypes"]
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends (PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"]
    : never) = never,
> = PublicCompositeTypeNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"][CompositeTypeName]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema["CompositeTypes"]
    ? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
    : never

export const Constants = {
  public: {
    Enums: {},
  },
} as const
