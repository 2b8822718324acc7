"""Would one lease for each claim cost less than one for each message? Bare scripts, without anything else of Tidegate.

    python3 benches/one_lease.py [ROUNDS]

It starts a redis-server of its own on port 17999, with an append-only file, and prints the microseconds of Redis CPU that claim
and acknowledgement of a message take together, as medians, and the quotients to today's form ("each"). Forms:

each    a state entry and a member of the set of leases for each message: today's form.
claim   a state entry for each message; one member of the set of leases for each claim, with the list of its messages
        and the count of those that are left. The list is never rewritten.
no-state   no state entry; a map of the messages of a claim that are left tells which of them are leased. Then nothing leads from
        the id of a message to its claim.
"""
import os, random, socket, statistics, subprocess, sys, tempfile, time

PORT=17999
class R:
    def __init__(s):
        s.s=socket.create_connection(('127.0.0.1',PORT)); s.f=s.s.makefile('rb')
    def enc(s,args):
        out=[b'*%d\r\n'%len(args)]
        for a in args:
            if not isinstance(a,bytes): a=str(a).encode()
            out.append(b'$%d\r\n%s\r\n'%(len(a),a))
        return b''.join(out)
    def read(s):
        l=s.f.readline(); t=l[:1]; v=l[1:-2]
        if t==b'+': return v
        if t==b'-': raise Exception(v)
        if t==b':': return int(v)
        if t==b'$':
            n=int(v)
            if n<0: return None
            d=s.f.read(n+2); return d[:-2]
        if t==b'*':
            n=int(v); return [s.read() for _ in range(n)] if n>=0 else None
    def __call__(s,*a):
        s.s.sendall(s.enc(a)); return s.read()
COMMON='''
local rc=redis.call
local function write_all(cmd,key,list) for i=1,#list,4000 do rc(cmd,key,unpack(list,i,math.min(#list,i+3999))) end end
'''
STATE='local st="\\2L"..ARGV[1]..string.rep("x",65)\n'
CLAIM_A=COMMON+STATE+'''
local ids=rc('LPOP','ready',ARGV[2]); local recs=rc('HMGET','records',unpack(ids))
local hs,zs={},{}
for i=1,#ids do hs[2*i-1]=ids[i]; hs[2*i]=st; zs[2*i-1]=ARGV[3]; zs[2*i]=ids[i] end
write_all('HSET','states',hs); write_all('ZADD','leased',zs)
rc('HSET','claims','node',ARGV[1]..table.concat(ids))
return {ids,recs}'''
ACK_A=COMMON+'''
local token=ARGV[1]; local ids={} for i=2,#ARGV do ids[i-1]=string.sub(ARGV[i],1,26) end
local raws=rc('HMGET','states',unpack(ids))
for i=1,#ids do if string.sub(raws[i],3,22)~=token then return 0 end end
rc('ZREM','leased',unpack(ids)); rc('HDEL','records',unpack(ids)); rc('HDEL','states',unpack(ids)); return 1'''
CLAIM_B=COMMON+STATE+'''
local ids=rc('LPOP','ready',ARGV[2]); local recs=rc('HMGET','records',unpack(ids))
local hs={}
for i=1,#ids do hs[2*i-1]=ids[i]; hs[2*i]=st end
write_all('HSET','states',hs); rc('ZADD','leased',ARGV[3],ARGV[1])
rc('HSET','claims',ARGV[1],table.concat(ids)); rc('HSET','left',ARGV[1],#ids); rc('HINCRBY','meta','leased',#ids)
return {ids,recs}'''
ACK_B=COMMON+'''
local token=ARGV[1]; local ids={} for i=2,#ARGV do ids[i-1]=string.sub(ARGV[i],1,26) end
local raws=rc('HMGET','states',unpack(ids))
for i=1,#ids do if string.sub(raws[i],3,22)~=token then return 0 end end
rc('HDEL','records',unpack(ids)); rc('HDEL','states',unpack(ids))
rc('HINCRBY','meta','leased',-#ids)
if rc('HINCRBY','left',token,-#ids)==0 then rc('HDEL','left',token); rc('HDEL','claims',token); rc('ZREM','leased',token) end
return 1'''
CLAIM_C=COMMON+'''
local ids=rc('LPOP','ready',ARGV[2]); local recs=rc('HMGET','records',unpack(ids))
rc('ZADD','leased',ARGV[3],ARGV[1])
rc('HSET','claims',ARGV[1],table.concat(ids)); rc('HSET','left',ARGV[1],string.rep('1',#ids)); rc('HINCRBY','meta','leased',#ids)
return {ids,recs}'''
# index of each id (3 digits) follows the id
ACK_C=COMMON+'''
local token=ARGV[1]; local ids={} 
local list=rc('HGET','claims',token); local left=rc('HGET','left',token)
if not list then return 0 end
local n=#ARGV-1
if n==#left and not string.find(left,'0',1,true) then
  for i=2,#ARGV do local id=string.sub(ARGV[i],1,26); local at=tonumber(string.sub(ARGV[i],27)); if string.sub(list,26*at-25,26*at)~=id then return 0 end ids[i-1]=id end
  rc('HDEL','records',unpack(ids)); rc('HINCRBY','meta','leased',-n)
  rc('HDEL','left',token); rc('HDEL','claims',token); rc('ZREM','leased',token) return 1
end
local gone={}
for i=2,#ARGV do local id=string.sub(ARGV[i],1,26); local at=tonumber(string.sub(ARGV[i],27)); if string.sub(list,26*at-25,26*at)~=id or string.byte(left,at)~=49 then return 0 end ids[i-1]=id gone[at]=true end
local parts={} for i=1,#left do parts[i]=(gone[i] or string.byte(left,i)==48) and '0' or '1' end
left=table.concat(parts)
rc('HDEL','records',unpack(ids)); rc('HINCRBY','meta','leased',-n)
if string.find(left,'1',1,true) then rc('HSET','left',token,left) else rc('HDEL','left',token); rc('HDEL','claims',token); rc('ZREM','leased',token) end
return 1'''
FORMS = {'each': (CLAIM_A, ACK_A), 'claim': (CLAIM_B, ACK_B), 'no-state': (CLAIM_C, ACK_C)}
def cpu(r):
    d=dict(l.split(b':') for l in r('INFO','cpu').split(b'\r\n') if b':' in l)
    return float(d[b'used_cpu_user'])+float(d[b'used_cpu_sys'])
def run(r,form,claim,parts,N,depth):
    claim_sha,ack_sha=[r('SCRIPT','LOAD',x) for x in FORMS[form]]
    r('FLUSHALL')
    for i in range(0,N,1000):
        ids=['%026d'%j for j in range(i,i+1000)]
        a=['HSET','records']
        for x in ids: a+= [x,'y'*150]
        r(*a); r('RPUSH','ready',*[x+'000' [:0] for x in ids])
    rnd=random.Random(1); infl=[]; pieces=[]
    c0=cpu(r); done=0; claimed=0; seq=0
    while done<N:
        while claimed<N and sum(len(p[1]) for p in pieces)<depth*claim:
            seq+=1; tok='%020d'%seq
            ids,recs=r('EVALSHA',claim_sha,0,tok,claim,1000+seq); claimed+=len(ids)
            lab=[x+b'%03d'%(k+1) for k,x in enumerate(ids)]
            if parts>1: rnd.shuffle(lab)
            step=-(-len(lab)//parts)
            for k in range(0,len(lab),step): pieces.append((tok,lab[k:k+step]))
        if parts>1: k=rnd.randrange(len(pieces))
        else: k=0
        tok,ids=pieces.pop(k)
        assert r('EVALSHA',ack_sha,0,tok,*ids)==1
        done+=len(ids)
    c1=cpu(r)
    assert r('DBSIZE')<=2, r('KEYS','*')
    return (c1-c0)/N*1e6
if __name__ == '__main__':
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as data:
        server = subprocess.Popen(
            ['redis-server', '--port', str(PORT), '--save', '', '--appendonly', 'yes', '--appendfsync', 'no', '--dir', data],
            stdout=subprocess.DEVNULL)
        try:
            time.sleep(1)
            r = R()
            for claim, parts in ((100, 1), (100, 3), (34, 1), (34, 3), (1, 1)):
                found = {form: [] for form in FORMS}
                for _ in range(rounds):
                    order = list(FORMS)
                    random.shuffle(order)
                    for form in order:
                        found[form].append(run(r, form, claim, parts, 20000 if claim > 1 else 5000, 8))
                quotients = {form: statistics.median(x / y for x, y in zip(found[form], found['each'])) for form in FORMS}
                print(f'{claim} a claim, acknowledged in {parts}:', *(
                    f'{form} {statistics.median(costs):.2f} ({quotients[form]:.2f})' for form, costs in found.items()), flush=True)
        finally:
            server.kill()
            server.wait()
