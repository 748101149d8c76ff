CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.changes (
    number integer NOT NULL,
    topic character varying(32) NOT NULL,
    key text NOT NULL
);
CREATE SEQUENCE public.changes_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.changes_number_seq OWNED BY public.changes.number;
CREATE TABLE public.keys (
    number integer NOT NULL,
    name text NOT NULL,
    prefix character varying(32) NOT NULL,
    hash character varying(64) NOT NULL,
    scopes text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint,
    last_used_at bigint
);
CREATE SEQUENCE public.keys_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.keys_number_seq OWNED BY public.keys.number;
CREATE TABLE public.run_attempts (
    run character varying(32) NOT NULL,
    "position" integer NOT NULL,
    content text NOT NULL
);
CREATE TABLE public.run_changes (
    run character varying(32) NOT NULL,
    "position" integer NOT NULL,
    content text NOT NULL
);
CREATE TABLE public.run_events (
    run character varying(32) NOT NULL,
    number bigint NOT NULL,
    kind text NOT NULL,
    at double precision NOT NULL,
    data text NOT NULL
);
CREATE TABLE public.run_keys (
    number integer NOT NULL,
    run character varying(32) NOT NULL,
    author text NOT NULL,
    key text NOT NULL,
    content text NOT NULL
);
CREATE SEQUENCE public.run_keys_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.run_keys_number_seq OWNED BY public.run_keys.number;
CREATE TABLE public.run_reports (
    run character varying(32) NOT NULL,
    attempt bigint NOT NULL,
    name text NOT NULL,
    iteration bigint NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.run_revisions (
    number integer NOT NULL,
    run character varying(32) NOT NULL,
    revision bigint,
    schedule character varying(32) NOT NULL
);
CREATE SEQUENCE public.run_revisions_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.run_revisions_number_seq OWNED BY public.run_revisions.number;
CREATE TABLE public.runs (
    number integer NOT NULL,
    id character varying(32) NOT NULL,
    label text NOT NULL,
    stamp character varying(16) NOT NULL,
    phase character varying(8) NOT NULL,
    silent_at double precision NOT NULL,
    stalled_at double precision NOT NULL,
    base text NOT NULL,
    content text NOT NULL,
    reports bigint NOT NULL
);
CREATE SEQUENCE public.runs_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.runs_number_seq OWNED BY public.runs.number;
CREATE TABLE public.schedules (
    number integer NOT NULL,
    id character varying(32) NOT NULL,
    text text CONSTRAINT schedules_spec_not_null NOT NULL,
    label text,
    created_at integer,
    used_on integer,
    of_runs integer
);
CREATE SEQUENCE public.schedules_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.schedules_number_seq OWNED BY public.schedules.number;
CREATE TABLE public.service (
    identity character varying(32) NOT NULL,
    served_s integer NOT NULL,
    probe integer NOT NULL
);
ALTER TABLE ONLY public.changes ALTER COLUMN number SET DEFAULT nextval('public.changes_number_seq'::regclass);
ALTER TABLE ONLY public.keys ALTER COLUMN number SET DEFAULT nextval('public.keys_number_seq'::regclass);
ALTER TABLE ONLY public.run_keys ALTER COLUMN number SET DEFAULT nextval('public.run_keys_number_seq'::regclass);
ALTER TABLE ONLY public.run_revisions ALTER COLUMN number SET DEFAULT nextval('public.run_revisions_number_seq'::regclass);
ALTER TABLE ONLY public.runs ALTER COLUMN number SET DEFAULT nextval('public.runs_number_seq'::regclass);
ALTER TABLE ONLY public.schedules ALTER COLUMN number SET DEFAULT nextval('public.schedules_number_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0007');
INSERT INTO public.changes VALUES (1, 'keys', 'trainer');
INSERT INTO public.keys VALUES (1, 'trainer', 'preheat_zdmUi095', 'e45ce118bb94dae22eef1fef52c2b295705cb686633b09499835abe9c1c5b8b1', 'write', 1795949324, NULL, NULL, NULL);
INSERT INTO public.run_events VALUES ('0123456789abcdef0123456789abcdef', 1, 'made', 1800000000, '{"label":"llama-7b","schedule":"630e8304e0352e14c20ae59b8f487901"}');
INSERT INTO public.run_revisions VALUES (1, '0123456789abcdef0123456789abcdef', 1, '630e8304e0352e14c20ae59b8f487901');
INSERT INTO public.runs VALUES (1, '0123456789abcdef0123456789abcdef', 'llama-7b', 'd3e1acb698276178', 'WAITING', 0, 0, '{"format":2,"spec":{"after_scheduler":{"T_max":10,"eta_min":0.0,"type":"CosineAnnealingLR"},"target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}},"torch_version":"2.13.0"}', '{"id":"0123456789abcdef0123456789abcdef","label":"llama-7b","schedule_id":"630e8304e0352e14c20ae59b8f487901","total_iterations":20,"created_at":1800000000.0,"revision":1,"generation":1,"rollback":null,"controllers":[],"origins":[],"is_locked":false,"is_finished":false,"events":1,"recent":[[1,"630e8304e0352e14c20ae59b8f487901"]]}', 0);
INSERT INTO public.schedules VALUES (2, 'ccd0f2b1de4d86ab816679b68c36f310', '{"format":2,"spec":{"after_scheduler":{"T_max":10,"eta_min":0.0,"type":"CosineAnnealingLR"},"label":"\u00e9 \u65e5\u672c ''quoted'' \"twice\" \\ %_ ; --\nline","target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}},"torch_version":"2.13.0"}', 'é 日本 ''quoted'' "twice" \ %_ ; --
line', 1795949325, NULL, NULL);
INSERT INTO public.schedules VALUES (3, 'f65557c9f3d86240ca94af95a19eeecb', '{"format":2,"spec":{"label":"a\u0000b","target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}}}', 'a␀b', 1795949325, NULL, NULL);
INSERT INTO public.schedules VALUES (4, '7c52fcb98d7f0ad093110409bf3cdddb', '{"format":2,"spec":{"label":"\ud83d\ude00\u200d\u202e","target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}}}', '😀‍‮', 1795949325, NULL, NULL);
INSERT INTO public.schedules VALUES (5, 'a3b0db3bcda52efbe4c8f7668a8be8e9', '{"format":2,"spec":{"after_scheduler":{"gamma":0.1,"step_size":4,"type":"StepLR"},"target_lr":0.1,"total_iterations":12,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":0,"shape":"linear"}},"torch_version":"2.13.0"}', NULL, 1795949325, NULL, NULL);
INSERT INTO public.schedules VALUES (6, '6ad4b7b1a6a3f3c5b365bb91a700977b', '{"format":2,"spec":{"after_scheduler":{"anneal_epochs":10,"anneal_strategy":"cos","swa_lr":1e-05,"type":"SWALR"},"target_lr":0.0003,"total_iterations":30,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":0,"shape":"linear"}},"torch_version":"2.13.0"}', NULL, 1795949325, NULL, NULL);
INSERT INTO public.schedules VALUES (7, '7e1d64d4a6ce54c3a24fa1d995d3ead9', '{"format":2,"spec":{"param_groups":[{"name":"a","target_lr":0.1},{"name":"b","target_lr":0.01}],"target_lr":0.1,"total_iterations":10,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":0,"shape":"linear"}}}', NULL, 1795949325, NULL, NULL);
INSERT INTO public.schedules VALUES (1, '630e8304e0352e14c20ae59b8f487901', '{"format":2,"spec":{"after_scheduler":{"T_max":10,"eta_min":0.0,"type":"CosineAnnealingLR"},"target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}},"torch_version":"2.13.0"}', NULL, 1795949325, 0, NULL);
INSERT INTO public.schedules VALUES (8, '62db7654d1bc75ee799778166b81f83b', '{"format":2,"spec":{"label":"damaged","t', 'damaged', 1795949325, NULL, NULL);
INSERT INTO public.service VALUES ('99bc347c3a6b4a7badd6f2ba2b2e91d8', 0, 0);
SELECT pg_catalog.setval('public.changes_number_seq', 1, true);
SELECT pg_catalog.setval('public.keys_number_seq', 1, true);
SELECT pg_catalog.setval('public.run_keys_number_seq', 1, false);
SELECT pg_catalog.setval('public.run_revisions_number_seq', 1, true);
SELECT pg_catalog.setval('public.runs_number_seq', 1, true);
SELECT pg_catalog.setval('public.schedules_number_seq', 9, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.changes
    ADD CONSTRAINT changes_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_hash_key UNIQUE (hash);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_prefix_key UNIQUE (prefix);
ALTER TABLE ONLY public.run_attempts
    ADD CONSTRAINT run_attempts_pkey PRIMARY KEY (run, "position");
ALTER TABLE ONLY public.run_changes
    ADD CONSTRAINT run_changes_pkey PRIMARY KEY (run, "position");
ALTER TABLE ONLY public.run_events
    ADD CONSTRAINT run_events_pkey PRIMARY KEY (run, number);
ALTER TABLE ONLY public.run_keys
    ADD CONSTRAINT run_keys_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.run_reports
    ADD CONSTRAINT run_reports_pkey PRIMARY KEY (run, attempt, name, iteration);
ALTER TABLE ONLY public.run_revisions
    ADD CONSTRAINT run_revisions_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_id_key UNIQUE (id);
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.schedules
    ADD CONSTRAINT schedules_id_key UNIQUE (id);
ALTER TABLE ONLY public.schedules
    ADD CONSTRAINT schedules_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.service
    ADD CONSTRAINT service_pkey PRIMARY KEY (identity);
CREATE UNIQUE INDEX run_keys_by_name ON public.run_keys USING btree (run, author, key);
CREATE INDEX run_revisions_by_run ON public.run_revisions USING btree (run, revision);
CREATE INDEX run_revisions_by_schedule ON public.run_revisions USING btree (schedule);
CREATE INDEX runs_by_label ON public.runs USING btree (label, number);
CREATE INDEX runs_by_phase ON public.runs USING btree (phase, number);
CREATE INDEX schedules_by_label ON public.schedules USING btree (label, number);
CREATE INDEX schedules_by_use ON public.schedules USING btree (used_on);
ALTER TABLE ONLY public.run_attempts
    ADD CONSTRAINT run_attempts_run_fkey FOREIGN KEY (run) REFERENCES public.runs(id);
ALTER TABLE ONLY public.run_changes
    ADD CONSTRAINT run_changes_run_fkey FOREIGN KEY (run) REFERENCES public.runs(id);
ALTER TABLE ONLY public.run_events
    ADD CONSTRAINT run_events_run_fkey FOREIGN KEY (run) REFERENCES public.runs(id);
ALTER TABLE ONLY public.run_keys
    ADD CONSTRAINT run_keys_run_fkey FOREIGN KEY (run) REFERENCES public.runs(id);
ALTER TABLE ONLY public.run_reports
    ADD CONSTRAINT run_reports_run_fkey FOREIGN KEY (run) REFERENCES public.runs(id);
ALTER TABLE ONLY public.run_revisions
    ADD CONSTRAINT run_revisions_run_fkey FOREIGN KEY (run) REFERENCES public.runs(id);
ALTER TABLE ONLY public.run_revisions
    ADD CONSTRAINT run_revisions_schedule_fkey FOREIGN KEY (schedule) REFERENCES public.schedules(id);
