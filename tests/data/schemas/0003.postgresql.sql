CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.schedules (
    number integer NOT NULL,
    id character varying(32) NOT NULL,
    text text CONSTRAINT schedules_spec_not_null NOT NULL,
    label text,
    created_at integer
);
CREATE SEQUENCE public.schedules_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.schedules_number_seq OWNED BY public.schedules.number;
ALTER TABLE ONLY public.schedules ALTER COLUMN number SET DEFAULT nextval('public.schedules_number_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0003');
INSERT INTO public.schedules VALUES (1, '630e8304e0352e14c20ae59b8f487901', '{"format":2,"spec":{"after_scheduler":{"T_max":10,"eta_min":0.0,"type":"CosineAnnealingLR"},"target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}},"torch_version":"2.13.0"}', NULL, 1795892108);
INSERT INTO public.schedules VALUES (2, 'ccd0f2b1de4d86ab816679b68c36f310', '{"format":2,"spec":{"after_scheduler":{"T_max":10,"eta_min":0.0,"type":"CosineAnnealingLR"},"label":"\u00e9 \u65e5\u672c ''quoted'' \"twice\" \\ %_ ; --\nline","target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}},"torch_version":"2.13.0"}', 'é 日本 ''quoted'' "twice" \ %_ ; --
line', 1795892108);
INSERT INTO public.schedules VALUES (3, 'f65557c9f3d86240ca94af95a19eeecb', '{"format":2,"spec":{"label":"a\u0000b","target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}}}', 'a␀b', 1795892108);
INSERT INTO public.schedules VALUES (4, '7c52fcb98d7f0ad093110409bf3cdddb', '{"format":2,"spec":{"label":"\ud83d\ude00\u200d\u202e","target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}}}', '😀‍‮', 1795892108);
INSERT INTO public.schedules VALUES (5, 'a3b0db3bcda52efbe4c8f7668a8be8e9', '{"format":2,"spec":{"after_scheduler":{"gamma":0.1,"step_size":4,"type":"StepLR"},"target_lr":0.1,"total_iterations":12,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":0,"shape":"linear"}},"torch_version":"2.13.0"}', NULL, 1795892108);
INSERT INTO public.schedules VALUES (6, '6ad4b7b1a6a3f3c5b365bb91a700977b', '{"format":2,"spec":{"after_scheduler":{"anneal_epochs":10,"anneal_strategy":"cos","swa_lr":1e-05,"type":"SWALR"},"target_lr":0.0003,"total_iterations":30,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":0,"shape":"linear"}},"torch_version":"2.13.0"}', NULL, 1795892108);
INSERT INTO public.schedules VALUES (7, '7e1d64d4a6ce54c3a24fa1d995d3ead9', '{"format":2,"spec":{"param_groups":[{"name":"a","target_lr":0.1},{"name":"b","target_lr":0.01}],"target_lr":0.1,"total_iterations":10,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":0,"shape":"linear"}}}', NULL, 1795892108);
INSERT INTO public.schedules VALUES (8, '62db7654d1bc75ee799778166b81f83b', '{"format":2,"spec":{"label":"damaged","t', 'damaged', 1795892108);
SELECT pg_catalog.setval('public.schedules_number_seq', 8, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.schedules
    ADD CONSTRAINT schedules_id_key UNIQUE (id);
ALTER TABLE ONLY public.schedules
    ADD CONSTRAINT schedules_pkey PRIMARY KEY (number);
CREATE INDEX schedules_by_label ON public.schedules USING btree (label, number);
