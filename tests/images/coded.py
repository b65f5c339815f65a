"""JPEGs of codings that Pillow does not write: `pictures.scene(48, 32)`, coded by libjpeg-turbo's cjpeg."""

from __future__ import annotations

import base64

ARITHMETIC = base64.b85decode(
    b"|JeWF01!$>Nk#wx0RR9200961|JwjV01XKW3knDg3knMk4h;_zAQcl55)&sJ9v2`kDKRiEDJ?8BI!Zn>HbyrrEkIX6ModmpQ&KWMT47pHU"
    b"`kO^PygEhLjevB4iga*CKVMXPc<zyPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPf!2J01*fPAOJ7}0U"
    b"`hb5di}c0sqVZ3IGrg1pyEd1^?Or3<CiG0ucid06zf#06K+simqH8-s*Ceeuy`1eJG+moMe9Rmbm41*lXnV`}26r`2-"
    b"#dPMa7cR0TOnAz6tn(yl!PK)vAUk8M*64r>W{3Ahy^V}$cU1tbvK{{XeUM#1hgd&TC>#n1vSpqKMR*<3W*8i0n0S&BcXK%5HzpOV1;*#"
)
ARITHMETIC_PROGRESSIVE = base64.b85decode(
    b"|JeWF01!$>Nk#wx0RR9200961|JwjV01XKW3knDg3knMk4h;_zAQcl55)&sJ9v2`kDKRiEDJ?8BI!Zn>HbyrrEkIX6ModmpQ&KWMT47pHU"
    b"`kO^PygEhLjevB4iga*CKVMXPc<zyPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPf!2K01*fPAOJ7}0U"
    b"`hb5di}c0sqVZ1^^HN5dYc$3<CiG0uTcb00060bq9+#DMbJg#f%L5=fuBv+nvsq2yt~BX!r<l|I7dc5C#9*00;pA009L8-|Wn_-cs}2{1o"
    b"EhR#}dK|I7dc5e5I+00;pC0RcY&hD~t#J@#P#%m4%t1^?Or2mt~C0Y3qunaciPJ<@Rh%m4%s1^?Or2mt{A20sGAkre;T00a;P|Jncu0RaF"
    b"3KOwlK<@7<<ox60Ism&ocUH{qu3<CiG0ssR5000p097Qt7|I7dc5e5I+00;pC0RcY{2*R(YECFN);Q!131Q7-Q+5iXv0s#R(5OXKm-"
    b"4KptgSJ@z%m4%s1^?Or2mt{A0Y4DfpIQ|)hwr3s#peDd1*dl_W!?YT"
)
ONE_PASS_EACH = base64.b85decode(
    b"|JeWF01!$>Nk#wx0RR9200961|JwjV01XKW3knDg3knMk4h;_zAQcl55)&sJ9v2`kDKRiEDJ?8BI!Zn>HbyrrEkIX6ModmpQ&KWMT47pHU"
    b"`kO^PygEhLjevB4iga*CKVMXPc<zyPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPf!2A01*fPAOJ7}0U"
    b"`hb5di}c0sq7R9{>OW1pxs80RaI300000000010s{mE1_uZU3Jd?l0JRVR0s#X90t5pE1q1{D00Dgg0s{a95d{(<F+m0sQDFxnaTGFvk)a"
    b"49Lb1UWQqk}vGh%Xr2?`b$7#SKRCMPH<Dl|1VH#j*uLqtVJM@UIZQ&d$}S6EqEV`OD!XJ~0^b98lfcX)YvgM@{Khlq)al9QB`mY0~Bnxdn"
    b"mrKYE-sj9NGw6(UkxVgH*!^FkL$H>Xb($mz{*4NnC+Tr5k<mKk)=;`Y5^7Hid_V@Vt`v2Mh2mt{A06zf6qO{?w(AI4gksOZQPw7_TP~Amn"
    b"Lsy}x;<2`FvHt+$#;wJr**92!@#g;k8uRGoMe2V_w-wwA)&BrPTF}+#YgQ|1m#TiEt;CGIMR`RP)WcVyu9k}b!~h=w00RL50RaI40RaI30"
    b"0000009C61O)~M2nh-"
    b"c|HJ^b5dZ=K0t5sD1P28K1ONd7cK`tb0}%uTAu$FLK~V=`aT6jkfd~{rk)g4{2_rL7@D*Zm(FztMG~p%j7Z@2DCMPH<Dm6AYI5|2)L`6nN"
    b"NJ&alR8>}2SXo+QWMyV&XlZJ5bai%jczJq)gM@{Khlq)al9QB`mY0~BnxdnmrKYE-sj9NGw6(UkxVgH*!^FkL$H>Xb($mz{*4NnC+T!En<"
    b">u$;>FV<H^!4`l`1$((+5iXv0ucZ|0Ob0-j<e7Dr2C`nzp^NIe~0-"
    b"WI(+B$y?)E_{{S=p+5iXv0}%i}0QxWOdL5tP{%6jfSJY~EN1^Q*slT#E|Je"
)
